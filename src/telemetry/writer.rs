//! The thread that writes the log, and the lines that wait for it.
//!
//! Standard error can be a full disk, a closed pipe or a pipe that nobody reads. A
//! write to it would fail or block in the middle of an RPC, and `eprintln!` would
//! panic. So RPCs only add lines to memory, which is bounded; a thread of its own
//! writes them. (`tracing-appender` is not used: it prints when its thread hangs at
//! exit, counts its queue in lines instead of bytes, and loses a failed write
//! silently.)

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// Maximum bytes of lines that wait: a few thousand RPCs, or seconds of a slow disk.
/// The thread holds at most as much again.
const QUEUE: usize = 1024 * 1024;

/// Time between two writes to a descriptor that another process has made
/// non-blocking, while it takes nothing.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

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
    /// Whether the thread is writing lines that it has taken.
    writing: bool,
    /// Number of lines lost since the log last reported it.
    dropped: u64,
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

    fn to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let taken = Arc::clone(&queue);
        let output = Output { output, in_line: false };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || taken.write_all(output))?;
        Ok(Self(queue))
    }

    /// Adds a line, given with its end.
    pub fn add(&self, line: &[u8]) {
        let mut state = self.0.state();
        if state.waiting.len() + line.len() > QUEUE {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        self.0.changed.notify_all();
    }

    /// Waits until every line has been written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        let state = self.0.state();
        let _ = self.0.changed.wait_timeout_while(state, limit, busy);
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines as they come, for as long as the process runs.
    fn write_all(&self, mut output: Output<impl Write>) {
        let mut lines = Vec::new();
        let mut works = true;
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() {
                state.writing = false;
                self.changed.notify_all();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut state.waiting, &mut lines);
            state.writing = true;
            drop(state);
            // Between the lines that found room and those that come now. If the last
            // write failed, this one shows first that there is room again.
            if works {
                self.report_dropped();
            }
            let lost = output.write(&lines);
            lines.clear();
            self.state().dropped += lost;
            let recovered = lost == 0 && !works;
            works = lost == 0;
            if recovered {
                self.report_dropped();
            }
        }
    }

    fn report_dropped(&self) {
        let count = mem::take(&mut self.state().dropped);
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

/// A line arrives as one write.
impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Writer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::time::Instant;

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
        drop(results);
        writer.flush(LIMIT);
        assert_eq!(all(&output).lines().count(), lines - dropped);
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
