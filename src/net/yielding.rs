//! A reader that reads 4 KiB per turn of its connection, so that one connection cannot
//! occupy its thread.
//!
//! tokio makes a task yield after a number of reads, whatever their size. With large
//! reads that is after megabytes: tens of milliseconds of a flood's frames, in which
//! the thread serves no other connection.
//!
//! A turn also bounds memory: h2 reads all it gets before it hands out a stream, and its
//! headers and trailers can be a hundred times larger than their frames.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, Take};

/// Bytes read before the reader yields: about ten requests, or at most 300 KiB of headers
/// that expand.
const TURN: usize = 4 * 1024;

/// The bytes that a connection has read in this turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<AtomicUsize>);

impl Turn {
    /// Begins a turn.
    pub(super) fn begin(&self) {
        self.0.store(0, Relaxed);
    }

    /// Reports whether the connection has read all that it may, and has yielded.
    pub(super) fn has_yielded(&self) -> bool {
        self.0.load(Relaxed) >= TURN
    }
}

/// Reads from `reader` for its connection, up to 4 KiB per turn.
#[derive(Debug)]
pub(super) struct YieldingReader<R> {
    reader: Take<R>,
    turn: Turn,
}

impl<R: AsyncRead> YieldingReader<R> {
    pub(super) fn new(reader: R, turn: Turn) -> Self {
        Self { reader: reader.take(0), turn }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for YieldingReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = &*this.turn.0;
        if this.turn.has_yielded() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        this.reader.set_limit((TURN - read.load(Relaxed)) as u64);
        let polled = Pin::new(&mut this.reader).poll_read(context, buffer);
        read.fetch_add(buffer.filled().len() - before, Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Waker};

    use super::*;

    #[test]
    fn connection_reads_4_kib_per_turn() {
        const READ: usize = 1024;

        let bytes = vec![0; 10 * TURN];
        let turn = Turn::default();
        let mut reader = YieldingReader::new(&bytes[..], turn.clone());
        let mut read = 0;
        let mut connection = pin!(poll_fn(|context| {
            loop {
                let mut buffer = [0; READ];
                let mut buffer = ReadBuf::new(&mut buffer);
                if Pin::new(&mut reader).poll_read(context, &mut buffer).is_pending() {
                    return Poll::<()>::Pending;
                }
                read += buffer.filled().len();
                if read == 10 * TURN {
                    return Poll::Ready(());
                }
            }
        }));
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = 1;
        while connection.as_mut().poll(&mut context).is_pending() {
            assert!(turn.has_yielded());
            // Also if it is polled again within the turn.
            assert!(connection.as_mut().poll(&mut context).is_pending());
            turns += 1;
            turn.begin();
        }
        assert_eq!(turns, 10);
    }
}
