//! Connections that can be ended rudely, as networks do.
//!
//! A handler asks for it by putting a [`Fault`] into the extensions of its
//! answer; the HTTP server, which only knows answers, then finds that the socket
//! has failed under it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What befalls an answer on its way to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is reset before the first byte of the answer.
    Reset,
    /// Half of the body is sent, then the connection closes.
    Half,
    /// The answer is withheld until the caller or the sandbox goes away.
    Hold,
}

/// What the handlers of a connection know of it, and do to it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    stream: Arc<TcpStream>,
    cut: Arc<AtomicBool>,
}

impl Line {
    /// Resets the connection in place of its next write.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Waits until the caller has closed its end.
    ///
    /// The server does not look for it while it owes an answer.
    pub(super) async fn gone(&self) {
        if matches!(self.stream.peek(&mut [0]).await, Ok(1..)) {
            // More requests wait behind this one, and hide the end.
            std::future::pending::<()>().await;
        }
    }
}

/// A connection that its [`Line`] can reset.
#[derive(Debug)]
pub(super) struct Wire(Line);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Line { stream: Arc::new(stream), cut: Arc::default() })
    }

    pub(super) fn line(&self) -> Line {
        self.0.clone()
    }

    /// Does `write` when the socket is ready for it.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Line { stream, cut } = &self.0;
        if cut.load(Ordering::Acquire) {
            // Without lingering the close that follows is a reset, not a FIN.
            stream.set_zero_linger()?;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buf.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buf.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Leaves it to the drop that follows to close the socket.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Wraps the first half of `whole` as a body that then fails.
pub(super) fn half(mut whole: Bytes) -> Body {
    whole.truncate(whole.len() / 2);
    Body::new(Half::Unsent(whole))
}

/// The stages of a body that stops short.
enum Half {
    Unsent(Bytes),
    Sent,
    Flushed,
}

impl HttpBody for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match std::mem::replace(&mut *self, Self::Flushed) {
            Self::Unsent(bytes) => {
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Sent => {
                // The server flushes what it has whenever a body is not ready;
                // failing at once would drop the half with the connection.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Flushed => {
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
            }
        }
    }
}
