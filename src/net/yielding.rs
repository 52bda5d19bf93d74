//! A reader that yields after 16 KiB, so that one connection cannot occupy its thread.
//!
//! tokio makes a task yield after a number of reads, whatever their size. With large
//! reads that is after megabytes: tens of milliseconds of a flood's frames, in which
//! the thread serves no other connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read before the reader yields: a few requests, or less than a millisecond of
/// the most expensive frames.
const TURN: usize = 16 * 1024;

/// Reads from `reader`, and yields after 16 KiB.
#[derive(Debug)]
pub(super) struct YieldingReader<R> {
    reader: R,
    read: usize,
}

impl<R> YieldingReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for YieldingReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read >= TURN {
            this.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.reader).poll_read(context, buffer);
        match polled {
            Poll::Ready(_) => this.read += buffer.filled().len() - before,
            Poll::Pending => this.read = 0,
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn reader_yields_while_more_is_readable() {
        const READ: usize = 1024;

        let bytes = vec![0; 10 * TURN];
        let mut reader = YieldingReader::new(&bytes[..]);
        let mut context = Context::from_waker(Waker::noop());
        let (mut read, mut turns) = (0, 0);
        while read < bytes.len() {
            let mut buffer = [0; READ];
            let mut buffer = ReadBuf::new(&mut buffer);
            let polled = Pin::new(&mut reader).poll_read(&mut context, &mut buffer);
            read += buffer.filled().len();
            if polled.is_pending() {
                turns += 1;
                assert_eq!(read, turns * TURN);
            }
        }
        assert_eq!(turns, 9);
    }
}
