//! Connections that can fail as networks do.
//!
//! A handler puts a [`Fault`] into the extensions of its response. The HTTP server
//! knows responses only, so the socket under it fails.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A fault of a response on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is reset before the first byte of the response.
    Reset,
    /// Half of the body is sent, then the connection closes.
    Half,
    /// The response is withheld until the client has gone or the sandbox stops.
    Hold,
}

/// Lets handlers watch and reset their connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionControl {
    stream: Arc<TcpStream>,
    reset: Arc<AtomicBool>,
}

impl ConnectionControl {
    /// Resets the connection in place of its next write.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// Waits until the client has closed its end, which the server does not watch
    /// while it owes a response.
    pub(super) async fn client_gone(&self) {
        if matches!(self.stream.peek(&mut [0]).await, Ok(1..)) {
            // Pipelined requests hide the end.
            std::future::pending::<()>().await;
        }
    }
}

/// A connection that its [`ConnectionControl`] can reset.
#[derive(Debug)]
pub(super) struct Wire(ConnectionControl);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(ConnectionControl { stream: Arc::new(stream), reset: Arc::default() })
    }

    pub(super) fn control(&self) -> ConnectionControl {
        self.0.clone()
    }

    /// Does `write` when the socket is ready for it.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let ConnectionControl { stream, reset } = &self.0;
        if reset.load(Ordering::Acquire) {
            // With zero linger, the close that follows sends a reset, not a FIN.
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

    /// Does nothing: the drop that follows closes the socket.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
