//! Bodies: the whole body of a request, and a response body that ends too early.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;

/// The whole body of a request, for middleware that needs it before the handler.
#[derive(Clone, Debug)]
pub(super) struct Payload(pub(super) Bytes);

/// Returns a body that sends the first half of `whole`, then fails.
pub(super) fn half(mut whole: Bytes) -> Body {
    whole.truncate(whole.len() / 2);
    Body::new(Half::Unsent(whole))
}

/// The stages of a body that ends too early.
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
                // The server flushes its buffer only when a body is pending; an
                // immediate error would drop the half with the connection.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Flushed => {
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
            }
        }
    }
}
