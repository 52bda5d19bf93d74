//! The bodies of a stream, which may never end. Clients send one to reflection. Its
//! limits keep a silent client from holding a reservation.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    future::ready,
    stream::{iter, once, try_unfold},
};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::{BodyStream, StreamBody};
use tonic::Status;
use tower::BoxError;
use tower_http::timeout::{TimeoutBody, TimeoutError};

use super::{Error, unary};
use crate::{budget::Reservation, status::Failure};

/// Returns the messages of a body of up to `max_bytes`, with the wait for each part of
/// it limited to `timeout`. Each byte received counts against `reservation`. A compressed
/// message is an error; which one depends on `names_compression`.
pub(super) fn messages<B>(
    body: B,
    names_compression: bool,
    reservation: Arc<Reservation>,
    max_bytes: usize,
    timeout: Duration,
) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut received = 0;
    let parts = BodyStream::new(TimeoutBody::new(timeout, body)).map(move |frame| {
        let frame = frame.map_err(|error| {
            if error.is::<TimeoutError>() { Error::Late } else { Error::Cancelled }
        })?;
        let part = frame.into_data().unwrap_or_default();
        received += part.len();
        if received > max_bytes {
            return Err(Error::TooLarge { limit: max_bytes }.into());
        }
        reservation.resize_to(received)?;
        Ok::<_, Failure>(part)
    });
    let parts: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(parts);
    try_unfold((parts, BytesMut::new()), move |(mut parts, mut unread)| async move {
        loop {
            if let Some(message) = unary::split_message(&mut unread, names_compression)? {
                return Ok(Some((message, (parts, unread))));
            }
            match parts.try_next().await? {
                Some(part) => unread.extend_from_slice(&part),
                None if unread.is_empty() => return Ok(None),
                None => return Err(unary::ends_early().into()),
            }
        }
    })
}

/// Returns the body of a response: the frames of its messages, each in pieces, and
/// trailers. The first error ends it with its status.
pub(super) fn responses(
    messages: impl Stream<Item = Result<Vec<Bytes>, Status>>,
) -> impl Body<Data = Bytes, Error = Infallible> {
    let messages = messages.map(|message| message.map_err(|status| trailers_of(&status)));
    let success = HeaderMap::from_iter([(Status::GRPC_STATUS, unary::OK)]);
    let frames = messages
        .chain(once(ready(Err(success))))
        .scan(false, |has_ended, message| {
            let frames = match message {
                _ if *has_ended => return ready(None),
                Ok(pieces) => pieces.into_iter().map(Frame::data).collect(),
                Err(trailers) => vec![Frame::trailers(trailers)],
            };
            *has_ended = frames.iter().any(Frame::is_trailers);
            ready(Some(iter(frames)))
        })
        .flatten();
    StreamBody::new(frames.map(Ok))
}

fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let added = status.add_header(&mut trailers);
    added.expect("the message of a status is percent-encoded");
    trailers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::pin::pin;

    use futures_util::stream;
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        budget::{Exhausted, FairShare, SharedCapacity},
        status::Context,
    };

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Makes a reservation that can grow to two units of 50 bytes.
    fn reservation() -> Arc<Reservation> {
        let share = FairShare { total: 2, floor: 2, reserved: 0, guaranteed: 0 };
        let capacity = SharedCapacity::new(Exhausted::Auxiliary, share, 50);
        Arc::new(capacity.try_reserve().unwrap())
    }

    /// Reads the messages of a body whose parts are these, up to its first failure.
    async fn read(
        parts: &[&'static [u8]],
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, Failure> {
        let parts: Vec<_> = parts.iter().map(|part| Bytes::from_static(part)).collect();
        let parts = parts.into_iter().map(|part| Ok::<_, BoxError>(Frame::data(part)));
        let body = StreamBody::new(stream::iter(parts));
        messages(body, false, reservation(), max_bytes, TIMEOUT).try_collect().await
    }

    #[tokio::test]
    async fn messages_are_read_however_the_body_is_cut() {
        let body = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c";
        for cut in 0..=body.len() {
            let read = read(&[&body[..cut], &body[cut..]], 100).await.unwrap();
            assert_eq!(read, ["ab", "", "c"], "{cut}");
        }
        assert!(read(&[], 100).await.unwrap().is_empty());
        for bad in [&b"\0\0\0\0\x02a"[..], b"\0\0", b"\x02\0\0\0\0"] {
            let error = read(&[bad], 100).await.unwrap_err();
            assert!(matches!(error, Failure::Grpc(Error::Malformed(_))), "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_stream_is_ended_after_the_timeout() {
        let one = Ok::<_, BoxError>(Frame::data(Bytes::from_static(&[0; 5])));
        let body = StreamBody::new(stream::iter([one]).chain(stream::pending()));
        let mut messages = pin!(messages(body, false, reservation(), 100, TIMEOUT));
        assert_eq!(messages.next().await.unwrap().unwrap(), "");
        let started = Instant::now();
        let error = messages.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Failure::Grpc(Error::Late)));
        assert!(started.elapsed() >= TIMEOUT);
        assert!(started.elapsed() < TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn stream_over_its_limit_is_ended() {
        assert_eq!(read(&[&[0; 100]], 100).await.unwrap().len(), 20);
        let error = read(&[&[0; 100]], 99).await.unwrap_err();
        assert!(matches!(error, Failure::Grpc(Error::TooLarge { limit: 99 })));
    }

    #[tokio::test]
    async fn stream_over_the_budget_is_ended() {
        let error = read(&[&[0; 101]], 200).await.unwrap_err();
        assert!(matches!(error, Failure::Budget(Exhausted::Auxiliary)));
    }

    #[tokio::test]
    async fn failure_ends_the_response_with_its_status() {
        let piece = |text: &'static str| Bytes::from_static(text.as_bytes());
        let late: Failure = Error::Late.into();
        let parts = [
            Ok(vec![piece("a"), piece("b")]),
            Err(late.into_status(&Context::new("id"))),
            Ok(vec![piece("c")]),
        ];
        let body = responses(stream::iter(parts)).collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
        assert_eq!(body.to_bytes(), "ab");
        let body = responses(stream::empty()).collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    }
}
