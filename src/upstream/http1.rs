//! HTTP/1.1 to Polytomic: a connection carries one request at a time.
//!
//! So it needs no task of its own: the task of the request reads and writes, and waits for
//! no other task. A connection without a request is not polled. What arrives on it, or that
//! it has ended, is found by the next request before it is written.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    time::timeout,
};

use super::{Error, cancel::RequestBody, classify, exchange::Body};

/// The most headers of a response. Their bytes are limited by [`MAX_BUFFER`].
const MAX_HEADERS: usize = 100;

/// The most bytes to read together, of headers as over HTTP/2, and of a chunk; hyper may
/// read up to twice as many. By default, a stream that its client does not read could
/// keep a chunk of 400 KiB, which nothing counts.
const MAX_BUFFER: usize = 64 * 1024;

/// Maximum time for a connection to end an exchange whose response has been read, and
/// then to close. A server that reads nothing more could delay either for ever.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, for one request after the other. Dropped, it is closed.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// What reads and writes, until the connection has ended. Its error is that of the
    /// request on it, or there is none to tell.
    io: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

/// A connection while it is lent for one request. Dropped, the connection is closed.
pub(super) trait Lent: Send + Unpin + 'static {
    fn connection(&mut self) -> &mut Connection;

    /// Lends the connection to other requests.
    fn give_back(self);
}

/// Why there is no head of a response.
pub(super) enum SendError {
    /// Nothing was sent, so the request can be sent on another connection.
    Unsent(hyper::Error),
    Failed(Error),
}

/// Starts HTTP/1.1 on a new connection.
pub(super) async fn handshake<T>(stream: T) -> hyper::Result<Connection>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok(Connection { sender, io: Some(Box::pin(connection)) })
}

/// Sends a request, and waits for the head of its response. (An async function would hold
/// the request three times.)
pub(super) fn send<L: Lent>(
    mut lent: L,
    request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<Body>, SendError>> {
    let sending = lent.connection().sender.try_send_request(request);
    async move {
        let sent = {
            let mut sending = pin!(sending);
            poll_fn(|cx| {
                lent.connection().poll(cx);
                sending.as_mut().poll(cx)
            })
            .await
        };
        match sent {
            Ok(response) => Ok(response.map(|incoming| {
                ResponseBody { incoming, lent: Some(lent) }.boxed_unsync()
            })),
            Err(mut error) => Err(match error.take_message() {
                Some(_) => SendError::Unsent(error.into_error()),
                None => SendError::Failed(classify::http1(error.into_error())),
            }),
        }
    }
}

impl Connection {
    /// Reads and writes what it can.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(io) = &mut self.io
            && io.as_mut().poll(cx).is_ready()
        {
            self.io = None;
        }
    }

    /// Finds out whether the connection is still open, and has it forget the task of the
    /// last request, whose memory it would keep.
    pub(super) fn check(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()));
        !self.is_closed()
    }

    /// Reports whether the connection has ended, as far as it has been polled.
    pub(super) fn is_closed(&self) -> bool {
        self.io.is_none() || self.sender.is_closed()
    }

    /// Reports whether the connection can carry the next request.
    pub(super) fn is_ready(&self) -> bool {
        self.io.is_some() && self.sender.is_ready()
    }

    /// Waits until the connection can carry the next request, has ended, or takes too long.
    pub(super) async fn finish(&mut self) {
        let finished = poll_fn(|cx| {
            self.poll(cx);
            self.sender.poll_ready(cx).map(drop)
        });
        let _ = timeout(END_TIMEOUT, finished).await;
    }
}

/// Closes the connection as HTTP and TLS have it, which the peer may delay for a while.
impl Drop for Connection {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        // Without a runtime, the socket is closed.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { timeout(END_TIMEOUT, io).await });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// The body of a response. At its end, the connection is given back.
struct ResponseBody<L> {
    incoming: Incoming,
    lent: Option<L>,
}

impl<L: Lent> http_body::Body for ResponseBody<L> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { incoming, lent } = &mut *self;
        let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some(lent) = lent
        {
            lent.connection().poll(cx);
            frame = Pin::new(incoming).poll_frame(cx);
        }
        let frame = ready!(frame);
        if frame.is_none()
            && let Some(lent) = lent.take()
        {
            lent.give_back();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(classify::http1_body)))
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests;
