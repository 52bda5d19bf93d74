//! A reader that leaves turns to other connections.
//!
//! A peer that sends without a pause would have its connection served for as long
//! as there is something to read. tokio ends a turn after so many reads, however
//! large: after megabytes, which as frames of a flood are tens of milliseconds in
//! which the thread, and whoever waits for it, serves nobody else.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of one turn: a few requests, or less than a millisecond of the frames
/// that cost most.
const TURN: usize = 16 * 1024;

/// Reads at most so much at a time, and then waits for its next turn.
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
    fn a_turn_ends_while_there_is_more_to_read() {
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
