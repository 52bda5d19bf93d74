//! The body of a response.
//!
//! Most are one message and its trailers. tonic would copy the message into its frame and
//! box the body; here the message is sent as it was made, behind its prefix.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::budget::{UnreadData, UnreadStream};

/// The bytes that gRPC puts before a message: a flag and the length.
pub(super) const PREFIX: usize = 5;

/// The status of success, in the trailers.
const OK: HeaderValue = HeaderValue::from_static("0");

/// Returns what gRPC puts before a message of this length.
pub(super) fn prefix(length: usize) -> [u8; PREFIX] {
    let length =
        u32::try_from(length).expect("a response is limited to far less than 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}

/// Returns the trailers of an RPC that succeeded.
pub(super) fn success() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, OK);
    trailers
}

/// The body of a response.
///
/// By default, one without data, as an error has.
#[derive(Debug, Default)]
pub(crate) struct Body(Kind);

#[derive(Debug, Default)]
enum Kind {
    /// A message, and then the trailers of success.
    Message(Data),
    Trailers,
    #[default]
    Ended,
    /// The messages of a stream.
    Stream(tonic::body::Body, UnreadStream),
    /// Any other body.
    Other(tonic::body::Body),
}

/// What counts data as unread.
#[derive(Debug)]
enum Unread {
    Message {
        _data: UnreadData,
    },
    /// Until the client has read all of the stream that is made.
    Stream(Arc<UnreadData>),
}

impl Body {
    /// Returns the body of one message, which is `unread` until it is written.
    pub(super) fn of_message(message: Bytes, unread: UnreadData) -> Self {
        let prefix = prefix(message.len());
        Self(Kind::Message(Data {
            prefix,
            sent: 0,
            bytes: message,
            unread: Some(Unread::Message { _data: unread }),
        }))
    }

    /// Returns the body of a stream, whose pieces are `unread` until the client has read
    /// them.
    pub(super) fn of_stream(
        body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
        unread: UnreadStream,
    ) -> Self {
        Self(Kind::Stream(tonic::body::Body::new(body), unread))
    }
}

impl From<tonic::body::Body> for Body {
    fn from(body: tonic::body::Body) -> Self {
        Self(Kind::Other(body))
    }
}

impl http_body::Body for Body {
    type Data = Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Status>>> {
        match &mut self.0 {
            Kind::Stream(body, unread) => {
                let frame = Pin::new(body).poll_frame(context);
                return frame.map_ok(|frame| {
                    frame.map_data(|bytes| Data {
                        unread: Some(Unread::Stream(unread.hold())),
                        ..Data::from(bytes)
                    })
                });
            }
            Kind::Other(body) => {
                let frame = Pin::new(body).poll_frame(context);
                return frame.map_ok(|frame| frame.map_data(Data::from));
            }
            _ => {}
        }
        let (frame, rest) = match mem::replace(&mut self.0, Kind::Ended) {
            Kind::Message(data) => (Frame::data(data), Kind::Trailers),
            Kind::Trailers => (Frame::trailers(success()), Kind::Ended),
            _ => return Poll::Ready(None),
        };
        self.0 = rest;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Stream(body, _) | Kind::Other(body) => body.is_end_stream(),
            kind => matches!(kind, Kind::Ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Stream(body, _) | Kind::Other(body) => body.size_hint(),
            // The frame states the length of the message.
            _ => SizeHint::default(),
        }
    }
}

/// Data of a response: for a message, its prefix and its bytes. They are unread until they
/// are dropped, which hyper and h2 do once they are written.
#[derive(Debug)]
pub(crate) struct Data {
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix have been sent.
    sent: usize,
    bytes: Bytes,
    unread: Option<Unread>,
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self { prefix: [0; PREFIX], sent: PREFIX, bytes, unread: None }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        PREFIX - self.sent + self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.sent < PREFIX { &self.prefix[self.sent..] } else { &self.bytes }
    }

    fn advance(&mut self, count: usize) {
        let of_prefix = count.min(PREFIX - self.sent);
        self.sent += of_prefix;
        self.bytes.advance(count - of_prefix);
        // Called when bytes have been written.
        if let Some(Unread::Stream(unread)) = &self.unread {
            unread.renew();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;
    use crate::{budget::UnreadResponses, grpc::unary};

    fn body(message: &[u8], memory: &Arc<()>) -> Body {
        let unread = UnreadResponses::default().hold(memory.clone());
        Body::of_message(Bytes::copy_from_slice(message), unread)
    }

    #[tokio::test]
    async fn message_of_any_size_is_framed() {
        for bytes in [0, 1, 100_000] {
            let message = vec![7; bytes];
            let body = body(&message, &Arc::default()).collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
            let body = body.to_bytes();
            assert_eq!(unary::message(&body, &HeaderMap::new()).unwrap(), message);
        }
    }

    #[tokio::test]
    async fn data_are_the_same_however_they_are_taken() {
        for size in 1..=8 {
            let mut body = body(b"abc", &Arc::default());
            let mut data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let mut taken = Vec::new();
            while data.has_remaining() {
                assert_eq!(data.remaining(), 8 - taken.len());
                taken.extend_from_slice(&data.copy_to_bytes(size.min(data.remaining())));
            }
            assert_eq!(taken, b"\0\0\0\0\x03abc", "pieces of {size} bytes");
        }
    }

    #[tokio::test]
    async fn message_holds_its_memory_until_the_last_byte_is_sent() {
        let memory = Arc::default();
        let mut body = body(b"abc", &memory);
        let mut data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        data.advance(7);
        assert_eq!(Arc::strong_count(&memory), 2);
        drop(data);
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[tokio::test]
    async fn body_of_an_error_ends_with_its_headers() {
        use http_body::Body as _;

        assert!(Body::default().is_end_stream());
        let mut body = body(b"abc", &Arc::default());
        while !body.is_end_stream() {
            body.frame().await.unwrap().unwrap();
        }
        assert!(body.frame().await.is_none());
    }
}
