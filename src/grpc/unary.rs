//! The one message of a request, and that of a unary response.
//!
//! This module frames them itself: tonic's framing would copy a message once more, and
//! could not report how a request is malformed.

use std::{convert::Infallible, future::ready, pin::pin, time::Duration};

use crate::{budget::Reservation, gateway, status::Failure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use tokio::time::timeout;
use tonic::Status;
use tower::BoxError;

use super::Error;

/// Maximum bytes of a request message; larger ones fail. Requests hold IDs and names,
/// so the limit only bounds what a peer can make the gateway keep.
pub(super) const REQUEST_LIMIT: usize = 64 * 1024;

/// Maximum time from an RPC's headers to the end of its message, unless its deadline is
/// sooner. Clients send both together: one that takes longer holds the message back, or
/// has abandoned the RPC.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes that gRPC puts before a message: a flag and the length.
pub(super) const PREFIX: usize = 5;

pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Maximum bytes of a message that is copied into its frame.
const LARGEST_COPIED: usize = 64 * 1024;

/// The status of success, in the trailers.
pub(super) const OK: HeaderValue = HeaderValue::from_static("0");

/// Returns the response of an RPC that succeeded with a message.
pub(super) fn success(
    mut headers: HeaderMap,
    message: Bytes,
) -> http::Response<impl http_body::Body<Data = Bytes, Error = BoxError>> {
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, OK)]);
    let body = framed(message).with_trailers(ready(Some(Ok(trailers))));
    headers.insert(CONTENT_TYPE, GRPC);
    let mut response = http::Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Puts a message into the frame of gRPC (PROTOCOL-HTTP2,
/// "Length-Prefixed-Message"). A small message is copied behind its prefix, so that both
/// are written together. A large one would be in memory twice.
fn framed(message: Bytes) -> impl http_body::Body<Data = Bytes, Error = BoxError> {
    if message.len() <= LARGEST_COPIED {
        return Either::Left(Full::new(frame(&message, message.len())));
    }
    let parts = [frame(&[], message.len()), message];
    let parts = parts.map(|part| Ok::<_, Infallible>(Frame::data(part)));
    Either::Right(StreamBody::new(futures_util::stream::iter(parts)))
}

/// Returns the prefix of a message of this many `bytes`, and its `beginning`.
fn frame(beginning: &[u8], bytes: usize) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + beginning.len());
    frame.put(&prefix(bytes)[..]);
    frame.put(beginning);
    frame.freeze()
}

/// Returns what gRPC puts before a message of this length.
pub(super) fn prefix(length: usize) -> [u8; PREFIX] {
    let length =
        u32::try_from(length).expect("a response is limited to far less than 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}

/// Returns the maximum time for the message of a request to arrive, which ends at the
/// client's deadline at the latest.
pub(super) fn receive_timeout(headers: &HeaderMap) -> Duration {
    let left = gateway::time_allowed(headers).unwrap_or(REQUEST_TIMEOUT);
    left.min(REQUEST_TIMEOUT)
}

/// Returns the whole body of a request, within its limits of size and time.
pub(super) async fn receive<B>(
    body: B,
    reservation: &Reservation,
    receive_timeout: Duration,
) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes>,
{
    timeout(receive_timeout, collect(body, reservation))
        .await
        .unwrap_or(Err(Error::Late.into()))
}

/// Copies the data of a body together: a frame of one byte, if kept as received, would
/// keep all the bytes that were read with it.
async fn collect<B>(body: B, reservation: &Reservation) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::Cancelled)?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > PREFIX + REQUEST_LIMIT {
            return Err(Error::TooLarge { limit: REQUEST_LIMIT }.into());
        }
        reservation.resize_to(length)?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reports whether the headers of a request name a compression of its messages.
pub(super) fn names_compression(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}

/// Returns the message of a body that is one gRPC frame.
///
/// # Errors
///
/// If the message is compressed, incomplete, or not the end of the body.
pub(super) fn message(body: &Bytes, headers: &HeaderMap) -> Result<Bytes, Error> {
    let Some(([flag, length @ ..], message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(ends_early());
    };
    check_flag(*flag, || names_compression(headers))?;
    let stated = u32::from_be_bytes(*length) as usize;
    if message.len() != stated {
        return Err(Error::Malformed(format!(
            "it states {stated} bytes and has {}",
            message.len()
        )));
    }
    Ok(body.slice(PREFIX..))
}

/// Removes the first message from the part of a body that has arrived, if it is whole.
///
/// # Errors
///
/// If the message is compressed or has no frame.
pub(super) fn split_message(
    body: &mut BytesMut,
    names_compression: bool,
) -> Result<Option<Bytes>, Error> {
    let Some(([flag, length @ ..], rest)) = body.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    check_flag(*flag, || names_compression)?;
    let length = u32::from_be_bytes(*length) as usize;
    if rest.len() < length {
        return Ok(None);
    }
    body.advance(PREFIX);
    Ok(Some(body.split_to(length).freeze()))
}

/// Checks the flag of a frame. gRPC distinguishes a compression that the server does
/// not support from a flag that the headers do not explain (compression.md).
fn check_flag(flag: u8, names_compression: impl FnOnce() -> bool) -> Result<(), Error> {
    match flag {
        0 => Ok(()),
        1 if names_compression() => Err(Error::Compressed),
        1 => Err(Error::CompressionUndeclared),
        _ => Err(Error::Malformed("its frame begins with no flag".to_owned())),
    }
}

/// Returns the error of a body that is cut within a frame.
pub(super) fn ends_early() -> Error {
    Error::Malformed("it ends before its message".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::time::Instant;

    use super::*;
    use crate::budget::{Exhausted, FairShare, REQUEST_UNIT, SharedCapacity};

    /// Returns a reservation that can grow to half of `units`.
    fn reservation(units: usize) -> Reservation {
        let share = FairShare { total: units, reserved: 0, floor: 0, guaranteed: 1 };
        let capacity = SharedCapacity::new(Exhausted::Receiving, share, REQUEST_UNIT);
        capacity.try_reserve().unwrap()
    }

    async fn receive<B>(body: B) -> Result<Bytes, Failure>
    where
        B: http_body::Body<Data = Bytes>,
    {
        super::receive(body, &reservation(64), REQUEST_TIMEOUT).await
    }

    #[tokio::test(start_paused = true)]
    async fn request_message_that_does_not_arrive_in_time_fails() {
        let started = Instant::now();
        let body = StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, Infallible>,
        >());
        assert!(matches!(receive(body).await, Err(Failure::Grpc(Error::Late))));
        assert!(started.elapsed() < REQUEST_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn request_message_over_the_limit_is_rejected() {
        let allowed = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT]);
        assert_eq!(receive(Full::new(allowed.clone())).await.unwrap(), allowed);
        let larger = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT + 1]);
        let rejected = receive(Full::new(larger)).await;
        assert!(matches!(rejected, Err(Failure::Grpc(Error::TooLarge { .. }))));
    }

    #[tokio::test]
    async fn message_of_any_size_is_framed() {
        for bytes in [0, 1, LARGEST_COPIED, LARGEST_COPIED + 1] {
            let message = Bytes::from(vec![7; bytes]);
            let body = framed(message.clone()).collect().await.unwrap().to_bytes();
            assert_eq!(super::message(&body, &HeaderMap::new()).unwrap(), message);
        }
    }

    #[tokio::test]
    async fn request_over_the_limit_of_its_connection_is_rejected() {
        let reservation = reservation(16);
        let receive = async |bytes| {
            let body = Full::new(Bytes::from(vec![0; bytes]));
            super::receive(body, &reservation, REQUEST_TIMEOUT).await
        };
        assert!(receive(8 * REQUEST_UNIT).await.is_ok());
        let shed = receive(8 * REQUEST_UNIT + 1).await;
        assert!(matches!(shed, Err(Failure::Budget(Exhausted::Receiving))));
    }

    #[test]
    fn request_body_must_be_one_whole_uncompressed_message() {
        let headers = HeaderMap::new();
        let message =
            |bytes: &'static [u8]| message(&Bytes::from_static(bytes), &headers);
        assert_eq!(message(b"\0\0\0\0\x02ab").unwrap(), "ab");
        assert_eq!(message(b"\0\0\0\0\0").unwrap(), "");
        assert_eq!(super::message(&frame(b"ab", 2), &headers).unwrap(), "ab");
        let compressed = message(b"\x01\0\0\0\x01a");
        assert!(matches!(compressed, Err(Error::CompressionUndeclared)));
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\x02\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\0a",
            b"\0\xff\xff\xff\xff",
        ] {
            let rejected = message(bad);
            assert!(matches!(rejected, Err(Error::Malformed(_))), "{bad:?}");
        }
    }
}
