//! The GOAWAY of a connection that ends at once.
//!
//! hyper can only end a connection gracefully: between two GOAWAYs it waits for its
//! peer. A peer that is silent, or floods, would make it wait.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use h2::Reason;
use tokio::io::AsyncWrite;

/// The type of `GOAWAY` (RFC 9113, section 6.8).
const GOAWAY: u8 = 7;

/// The last stream of a GOAWAY that does not say which streams were processed.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// Why a connection ends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has carried no request. A client that sends one now sends it again elsewhere,
    /// since this GOAWAY says that no stream was processed (RFC 9113, section 6.8).
    Unused,
    /// Another needs it, and its peer has not answered a GOAWAY in time. This one names
    /// the last stream that was read, so that a client sends later ones again.
    Evicted,
    /// The metadata of too many requests were rejected. As if it were evicted.
    Unwanted,
    /// Its peer has reset too many streams.
    TooManyResets,
}

impl Ending {
    /// Returns the name of the reason, in the log and in metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Evicted => "connection_limit",
            Self::Unwanted => "large_metadata",
            Self::TooManyResets => "too_many_resets",
        }
    }

    /// Returns the frame (RFC 9113, section 6.8): a header of 9 bytes, the last stream,
    /// the error code and debug data.
    fn frame(self, last_stream: u32) -> Vec<u8> {
        let (last, code, debug) = match self {
            Self::Unused => (0, Reason::NO_ERROR, &b""[..]),
            Self::Evicted | Self::Unwanted => (last_stream, Reason::NO_ERROR, &b""[..]),
            Self::TooManyResets => {
                (ANY_STREAM, Reason::ENHANCE_YOUR_CALM, &b"too_many_resets"[..])
            }
        };
        let length = u8::try_from(8 + debug.len()).expect("the debug data are short");
        let header = [0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
        let code = u32::from(code).to_be_bytes();
        [&header[..], &last.to_be_bytes(), &code, debug].concat()
    }
}

/// How a connection ends at once, once that is decided.
#[derive(Debug, Clone, Default)]
pub(super) struct Goaway(Arc<State>);

#[derive(Debug, Default)]
struct State {
    ending: OnceLock<Ending>,
    last_stream: AtomicU32,
}

impl Goaway {
    pub(super) fn set(&self, ending: Ending) {
        // The first reason stays.
        let _ = self.0.ending.set(ending);
    }

    pub(super) fn get(&self) -> Option<Ending> {
        self.0.ending.get().copied()
    }

    /// Records that the peer has opened a stream.
    pub(super) fn opened(&self, stream: u32) {
        self.0.last_stream.fetch_max(stream, Relaxed);
    }

    fn frame(&self) -> Option<Vec<u8>> {
        Some(self.get()?.frame(self.0.last_stream.load(Relaxed)))
    }
}

/// A writer that writes the GOAWAY, if there is one, when its connection drops it.
#[derive(Debug)]
pub(super) struct GoawayWriter<W: AsyncWrite + Unpin> {
    writer: W,
    goaway: Goaway,
    /// Whether all bytes of the last write went out. Otherwise the peer is amid a frame.
    is_whole: bool,
}

impl<W: AsyncWrite + Unpin> GoawayWriter<W> {
    pub(super) fn new(writer: W, goaway: Goaway) -> Self {
        Self { writer, goaway, is_whole: true }
    }

    fn wrote(&mut self, bytes: usize, polled: &Poll<io::Result<usize>>) {
        self.is_whole = matches!(polled, Poll::Ready(Ok(wrote)) if *wrote == bytes);
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for GoawayWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.writer).poll_write(context, bytes);
        self.wrote(bytes.len(), &polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.writer).poll_write_vectored(context, slices);
        self.wrote(slices.iter().map(|slice| slice.len()).sum(), &polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}

impl<W: AsyncWrite + Unpin> Drop for GoawayWriter<W> {
    fn drop(&mut self) {
        let Some(frame) = self.goaway.frame().filter(|_| self.is_whole) else { return };
        // A peer whose socket is full gets no GOAWAY.
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.writer).poll_write(&mut context, &frame);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Writes `bytes` into a pipe that holds `most`, and returns what the peer reads after
    /// the connection has ended.
    async fn read_after(bytes: &[u8], most: usize, ending: Option<Ending>) -> Vec<u8> {
        let (writer, mut peer) = duplex(most);
        let goaway = Goaway::default();
        goaway.opened(5);
        let mut writer = GoawayWriter::new(writer, goaway.clone());
        let _ = writer.write(bytes).await.unwrap();
        if let Some(ending) = ending {
            goaway.set(ending);
        }
        drop(writer);
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        read
    }

    #[tokio::test]
    async fn connection_that_ends_at_once_writes_a_goaway() {
        let frames: [(_, &[u8]); 3] = [
            (Ending::Unused, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            (Ending::Evicted, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x05\0\0\0\0"),
            (
                Ending::TooManyResets,
                b"\0\0\x17\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0btoo_many_resets",
            ),
        ];
        for (ending, frame) in frames {
            let read = read_after(b"frame", 64, Some(ending)).await;
            assert_eq!(read, [b"frame", frame].concat(), "{ending:?}");
        }
        assert_eq!(read_after(b"frame", 64, None).await, b"frame");
    }

    #[tokio::test]
    async fn goaway_does_not_interrupt_a_frame() {
        assert_eq!(read_after(b"bytes", 4, Some(Ending::Unused)).await, b"byte");
    }
}
