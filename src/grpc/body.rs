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
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::BoxError;

use super::{Error, response, unary};
use crate::{budget::Reservation, status::Failure};

/// What ends a stream of requests that its client leaves open.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Maximum bytes of all messages.
    pub(super) bytes: usize,
    /// Maximum time until the next part of a message arrives, or any of the first one.
    /// After it the stream fails.
    pub(super) part: Duration,
    /// Maximum time until the next message begins. After it the stream ends, as if its
    /// client had ended it.
    pub(super) idle: Duration,
    /// Ends the stream in the same way once it waits for its next message.
    pub(super) closing: CancellationToken,
}

type Parts = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// Returns the messages of a body. Each byte received counts against `reservation`. A
/// compressed message is an error; which one depends on `names_compression`.
pub(super) fn messages<B>(
    body: B,
    names_compression: bool,
    reservation: Arc<Reservation>,
    limits: Limits,
) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut received, limit) = (0, limits.bytes);
    let parts: Parts = Box::pin(BodyStream::new(body).map(move |frame| {
        let part = frame.map_err(|_| Error::Cancelled)?.into_data().unwrap_or_default();
        received += part.len();
        if received > limit {
            return Err(Error::TooLarge { limit }.into());
        }
        reservation.resize_to(received)?;
        Ok(part)
    }));
    let start = (parts, BytesMut::new(), limits, true);
    try_unfold(start, move |(mut parts, mut unread, limits, is_first)| async move {
        loop {
            if let Some(message) = unary::split_message(&mut unread, names_compression)? {
                return Ok(Some((message, (parts, unread, limits, false))));
            }
            let part = if is_first || !unread.is_empty() {
                let part = timeout(limits.part, parts.try_next()).await;
                part.map_err(|_| Error::Late)??
            } else {
                tokio::select! {
                    // What has arrived is answered, also during a drain.
                    biased;
                    part = parts.try_next() => part?,
                    () = limits.closing.cancelled() => None,
                    () = sleep(limits.idle) => None,
                }
            };
            match part {
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
    let frames = messages
        .chain(once(ready(Err(response::success()))))
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

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn limits(bytes: usize) -> Limits {
        let closing = CancellationToken::new();
        Limits { bytes, part: TIMEOUT, idle: IDLE, closing }
    }

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
        messages(body, false, reservation(), limits(max_bytes)).try_collect().await
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

    /// Reads the messages of a body that stays open behind `part`. Returns how many there
    /// are, how long the stream was silent, and its failure.
    async fn read_open(
        part: &'static [u8],
        limits: Limits,
    ) -> (usize, Duration, Option<Failure>) {
        let part = Ok::<_, BoxError>(Frame::data(Bytes::from_static(part)));
        let body = StreamBody::new(stream::iter([part]).chain(stream::pending()));
        let mut messages = pin!(messages(body, false, reservation(), limits));
        let (mut number, started) = (0, Instant::now());
        loop {
            match messages.next().await {
                Some(Ok(_)) => number += 1,
                Some(Err(failure)) => return (number, started.elapsed(), Some(failure)),
                None => return (number, started.elapsed(), None),
            }
        }
    }

    /// A message, and the prefix of another.
    const PARTS: &[u8; 8] = &[0; 8];

    #[tokio::test(start_paused = true)]
    async fn silence_within_a_message_or_before_the_first_is_a_failure() {
        let closing = limits(100).closing;
        closing.cancel();
        for limits in [limits(100), Limits { closing, ..limits(100) }] {
            for (part, whole) in [(&PARTS[..], 1), (&PARTS[..1], 0), (&[], 0)] {
                let (number, silence, failure) = read_open(part, limits.clone()).await;
                assert_eq!(number, whole);
                assert!(matches!(failure, Some(Failure::Grpc(Error::Late))), "{part:?}");
                assert!(silence >= TIMEOUT && silence < TIMEOUT + SECOND, "{silence:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stream_without_another_message_ends() {
        let (number, silence, failure) = read_open(&PARTS[..5], limits(100)).await;
        assert!(number == 1 && failure.is_none(), "{failure:?}");
        assert!(silence >= IDLE && silence < IDLE + SECOND, "{silence:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn drain_ends_a_stream_after_the_messages_that_have_arrived() {
        let limits = limits(100);
        limits.closing.cancel();
        let (number, silence, failure) = read_open(&[0; 10], limits).await;
        assert!(number == 2 && failure.is_none(), "{failure:?}");
        assert!(silence < SECOND, "{silence:?}");
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
