//! HTTP/1.1 to Polytomic: a connection carries one request at a time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Error, cancel::RequestBody, classify, exchange::Body};

/// The most headers of a response. Their bytes are limited by [`MAX_BUFFER`].
const MAX_HEADERS: usize = 100;

/// The most bytes to read together, of headers as over HTTP/2, and of a chunk; hyper may
/// read up to twice as many. By default, a stream that its client does not read could
/// keep a chunk of 400 KiB, which nothing counts.
const MAX_BUFFER: usize = 64 * 1024;

/// A connection, for one request after the other.
pub(super) type Sender = http1::SendRequest<RequestBody>;

/// A connection while it is lent for one request. Dropped, the connection is closed.
pub(super) trait Lent: Send + Unpin + 'static {
    fn sender(&mut self) -> &mut Sender;

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
pub(super) async fn handshake<T>(stream: T) -> hyper::Result<Sender>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its error is that of the request on it, or there is none to tell.
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends a request, and waits for the head of its response. (An async function would hold
/// the request three times.)
pub(super) fn send<L: Lent>(
    mut lent: L,
    request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<Body>, SendError>> {
    let sending = lent.sender().try_send_request(request);
    async move {
        match sending.await {
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
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if frame.is_none()
            && let Some(lent) = self.lent.take()
        {
            lent.give_back();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(classify::http1_body)))
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
