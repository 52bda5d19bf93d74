//! The thread that writes the log, and the lines that wait for it.
//!
//! Standard error can be a full disk, a closed pipe or a pipe that nobody reads. A
//! write to it would fail or block in the middle of an RPC, and `eprintln!` would
//! panic. So RPCs only add lines to memory, which is bounded; a thread of its own
//! writes them. To wake that thread costs an RPC a system call, so lines that follow
//! one another closely are written together. (`tracing-appender` is not used: it prints
//! when its thread hangs at exit, counts its queue in lines instead of bytes, and loses
//! a failed write silently.)

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::metrics::{Family, Metrics};

/// Maximum bytes of lines that wait: a few thousand RPCs, or seconds of a slow disk.
/// The thread holds at most as much again.
const QUEUE: usize = 1024 * 1024;

/// Bytes of lines that are written before the pause is over. The rest of the queue has
/// room for the lines that come meanwhile.
const BATCH: usize = QUEUE / 4;

/// Minimum time between two writes, unless a line is urgent. A person who watches the
/// log does not notice it.
const PAUSE: Duration = Duration::from_millis(20);

/// Time between two writes to a descriptor that another process has made
/// non-blocking, while it takes nothing.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

const DROPPED: Family = Family::counter(
    "gateway_log_lines_dropped_total",
    &[],
    "Lines of the log that were lost, because standard error took none",
);

/// Adds lines to the log. Never blocks and never fails; a line that finds no room is
/// counted, and the log reports the number later.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines that wait.
    waiting: Vec<u8>,
    /// Whether they are not to wait until the pause is over.
    urgent: bool,
    /// Number of bytes added, and of those the thread is done with.
    added: u64,
    done: u64,
    /// Number of lines lost since the log last reported it, and before that.
    dropped: u64,
    reported: u64,
}

impl Writer {
    /// Starts the thread, which writes to standard error.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub fn start() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    /// Starts the thread, which writes to `output`.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub fn to(output: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_pause(output, PAUSE)
    }

    fn with_pause(
        output: impl Write + Send + 'static,
        pause: Duration,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let taken = Arc::clone(&queue);
        let output = Output { output, in_line: false };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || taken.write_all(output, pause))?;
        Ok(Self(queue))
    }

    /// Adds a line, given with its end. It is written within 20 ms if the output takes
    /// it.
    pub fn add(&self, line: &[u8]) {
        self.0.add(line, false);
    }

    /// Registers what is known of the log.
    pub fn register(&self, metrics: &Metrics) {
        let queue = Arc::clone(&self.0);
        metrics.register(DROPPED, move |samples| {
            let (dropped, reported) = {
                let state = queue.state();
                (state.dropped, state.reported)
            };
            samples.count(&[], dropped + reported);
        });
    }

    /// Waits until every line that has been added has been written, but no longer than
    /// `limit`. Does not wait for lines that others add meanwhile.
    pub fn flush(&self, limit: Duration) {
        let mut state = self.0.state();
        let added = state.added;
        let busy = |state: &mut State| state.done < added;
        state.urgent = true;
        self.0.changed.notify_all();
        let _ = self.0.changed.wait_timeout_while(state, limit, busy);
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8], urgent: bool) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > QUEUE {
            state.dropped += 1;
            return;
        }
        let is_first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        state.added += line.len() as u64;
        let ends_pause = !state.urgent && (urgent || state.waiting.len() >= BATCH);
        state.urgent |= ends_pause;
        drop(state);
        // Others have woken the thread before.
        if is_first || ends_pause {
            self.changed.notify_all();
        }
    }

    /// Writes lines as they come, for as long as the process runs.
    fn write_all(&self, mut output: Output<impl Write>, pause: Duration) {
        let mut lines = Vec::new();
        let mut works = true;
        let mut written = None;
        loop {
            let mut state = self.due(written, pause);
            mem::swap(&mut state.waiting, &mut lines);
            state.urgent = false;
            drop(state);
            // Between the lines that found room and those that come now. If the last
            // write failed, this one shows first that there is room again.
            if works {
                self.report_dropped();
            }
            let lost = output.write(&lines);
            written = Some(Instant::now());
            let mut state = self.state();
            state.dropped += lost;
            state.done += lines.len() as u64;
            drop(state);
            lines.clear();
            // Those that flush wait for it.
            self.changed.notify_all();
            let recovered = lost == 0 && !works;
            works = lost == 0;
            if recovered {
                self.report_dropped();
            }
        }
    }

    /// Waits for lines, and then until `pause` after the last write or until the lines
    /// are urgent.
    fn due(&self, written: Option<Instant>, pause: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let rest =
            written.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()));
        let pausing = |state: &mut State| !state.urgent;
        let waited = self.changed.wait_timeout_while(state, rest, pausing);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn report_dropped(&self) {
        let count = {
            let mut state = self.state();
            let count = mem::take(&mut state.dropped);
            state.reported += count;
            count
        };
        if count > 0 {
            warn!(count, "log lines dropped");
        }
    }
}

/// Where the lines go.
struct Output<W> {
    output: W,
    /// Whether a failed write has ended in the middle of a line.
    in_line: bool,
}

impl<W: Write> Output<W> {
    /// Writes lines and returns the number of those that were lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if self.in_line && self.write_bytes(b"\n") > 0 {
            return count(lines);
        }
        let rest = self.write_bytes(lines);
        let (written, lost) = lines.split_at(lines.len() - rest);
        self.in_line =
            written.last().map_or(self.in_line && rest > 0, |end| *end != b'\n');
        count(lost)
    }

    /// Writes bytes and returns the number of those that were not written.
    #[expect(clippy::disallowed_methods, reason = "this thread has no RPCs")]
    fn write_bytes(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => break,
                Ok(written) => bytes = &bytes[written..],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => thread::sleep(BUSY_PAUSE),
                    _ => break,
                },
            }
        }
        bytes.len()
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// A writer of the lines of one event, each in one write.
#[derive(Debug)]
pub struct EventWriter<'a> {
    queue: &'a Queue,
    urgent: bool,
}

impl Write for EventWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.add(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A warning or an error does not wait for the pause: the process may be about to end.
impl<'a> MakeWriter<'a> for Writer {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        EventWriter { queue: &self.0, urgent: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        EventWriter { queue: &self.0, urgent: *event.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// An output that waits before each write until the test says what it takes.
    struct Scripted {
        results: Receiver<io::Result<usize>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.results.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            let _ = self.written.send(bytes[..taken].to_vec());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (Scripted, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let (result, results) = channel();
        let (written, output) = channel();
        (Scripted { results, written }, result, output)
    }

    fn all(output: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(output.try_iter().flatten().collect()).unwrap()
    }

    #[test]
    fn flush_waits_for_every_line() {
        let (scripted, results, output) = scripted();
        let writer = Writer::to(scripted).unwrap();
        writer.add(b"one\n");
        writer.add(b"two\n");
        drop(results);
        writer.flush(LIMIT);
        assert_eq!(all(&output), "one\ntwo\n");
    }

    #[test]
    fn flush_does_not_wait_for_later_lines() {
        let (scripted, results, output) = scripted();
        let writer = Writer::to(scripted).unwrap();
        writer.add(b"one\n");
        while !writer.0.state().waiting.is_empty() {
            thread::yield_now();
        }
        let started = Instant::now();
        let flushing = thread::spawn({
            let writer = writer.clone();
            move || writer.flush(LIMIT)
        });
        // The thread writes the first line, and another always waits for it.
        while !flushing.is_finished() {
            writer.add(b"later\n");
            results.send(Ok(usize::MAX)).unwrap();
            output.recv_timeout(LIMIT).unwrap();
        }
        flushing.join().unwrap();
        assert!(started.elapsed() < LIMIT / 2);
    }

    /// A writer that has just written a line, and whose pause does not end.
    fn pausing() -> (Writer, Receiver<Vec<u8>>) {
        let (scripted, _, output) = scripted();
        let writer = Writer::with_pause(scripted, Duration::MAX).unwrap();
        writer.add(b"first\n");
        assert_eq!(output.recv_timeout(LIMIT).unwrap(), b"first\n");
        (writer, output)
    }

    #[test]
    fn lines_of_a_pause_are_one_write() {
        let (writer, output) = pausing();
        writer.add(b"one\n");
        writer.add(b"two\n");
        writer.flush(LIMIT);
        assert_eq!(output.try_recv().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn warning_ends_the_pause() {
        let (writer, output) = pausing();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("one");
            tracing::warn!("two");
        });
        let lines = String::from_utf8(output.recv_timeout(LIMIT).unwrap()).unwrap();
        assert!(lines.contains("one") && lines.contains("two"), "{lines}");
    }

    #[test]
    fn batch_ends_the_pause() {
        let (writer, output) = pausing();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..BATCH / line.len() {
            writer.add(&line);
        }
        assert_eq!(output.recv_timeout(LIMIT).unwrap().len(), BATCH);
    }

    #[test]
    fn flush_ends_at_its_limit_if_nothing_is_written() {
        let (scripted, _results, output) = scripted();
        let writer = Writer::to(scripted).unwrap();
        writer.add(b"one\n");
        let started = Instant::now();
        writer.flush(Duration::from_millis(50));
        assert!(started.elapsed() >= Duration::from_millis(50));
        assert_eq!(all(&output), "");
    }

    #[test]
    fn lines_over_the_queue_are_dropped_and_counted() {
        let (scripted, results, output) = scripted();
        let writer = Writer::to(scripted).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let lines = 3 * QUEUE / line.len();
        for _ in 0..lines {
            writer.add(&line);
        }
        let dropped = usize::try_from(writer.0.state().dropped).unwrap();
        // The thread may have taken one queue of lines before it waits.
        assert!((lines / 3..=2 * lines / 3).contains(&dropped), "{dropped}");
        let metrics = Metrics::new();
        writer.register(&metrics);
        let is_counted = || {
            let line = format!("\ngateway_log_lines_dropped_total {dropped}\n");
            metrics.render(false).contains(&line)
        };
        assert!(is_counted());
        drop(results);
        writer.flush(LIMIT);
        assert_eq!(all(&output).lines().count(), lines - dropped);
        assert!(is_counted(), "also once the log has reported them");
    }

    #[test]
    fn failed_write_loses_its_lines_and_no_others() {
        let (scripted, results, output) = scripted();
        let mut output_of = Output { output: scripted, in_line: false };
        results.send(Ok(6)).unwrap();
        results.send(Err(ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(output_of.write(b"one\ntwo\nthree\n"), 2);
        results.send(Err(ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(output_of.write(b"four\n"), 1);
        results.send(Err(ErrorKind::Interrupted.into())).unwrap();
        results.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        drop(results);
        assert_eq!(output_of.write(b"five\n"), 0);
        assert_eq!(output_of.write(b"six\n"), 0);
        assert_eq!(all(&output), "one\ntw\nfive\nsix\n");
    }
}
