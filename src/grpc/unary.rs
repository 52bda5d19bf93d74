//! The one message of a request, and that of a unary response.
//!
//! This module reads the frame of the request itself: tonic could not report how it is
//! malformed.

use std::{pin::pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{
    Error,
    response::{Body, PREFIX},
};
use crate::{
    budget::{REQUEST_UNIT, Reservation, UnreadData},
    gateway,
    status::Failure,
};

/// Maximum bytes of a request message; larger ones fail. Requests hold IDs and names,
/// so the limit only bounds what a peer can make the gateway keep.
pub(super) const REQUEST_LIMIT: usize = 64 * 1024;

/// Maximum time from an RPC's headers to the end of its message, unless its deadline is
/// sooner. Clients send both together: one that takes longer holds the message back, or
/// has abandoned the RPC.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Returns the response of an RPC that succeeded with a message, which is `unread` until
/// the client has read it.
pub(super) fn success(
    mut headers: HeaderMap,
    message: Bytes,
    unread: UnreadData,
) -> http::Response<Body> {
    headers.insert(CONTENT_TYPE, GRPC);
    let mut response = http::Response::new(Body::of_message(message, unread));
    *response.headers_mut() = headers;
    response
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
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::Cancelled)?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > PREFIX + REQUEST_LIMIT {
            return Err(Error::TooLarge { limit: REQUEST_LIMIT }.into());
        }
        reservation.resize_to(length)?;
        append(&mut whole, &data);
    }
    Ok(whole.into())
}

/// Appends `data` without more memory than is reserved: by default, a vector that grows
/// has twice what it had.
fn append(whole: &mut Vec<u8>, data: &[u8]) {
    let length = whole.len() + data.len();
    if length > whole.capacity() {
        // Most bodies are one piece. Frames of a byte must not each copy all of it.
        let units = if whole.is_empty() { 1 } else { REQUEST_UNIT };
        whole.reserve_exact(length.next_multiple_of(units) - whole.len());
    }
    whole.extend_from_slice(data);
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

    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use tokio::time::Instant;

    use super::*;
    use crate::budget::{Exhausted, FairShare, SharedCapacity};

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

    #[test]
    fn body_has_no_more_memory_than_is_reserved() {
        let bytes = vec![1; 3 * REQUEST_UNIT];
        for pieces in [&[120][..], &[16_384; 4], &bytes, &[5, 40_000, 1]] {
            let (mut whole, mut copied) = (Vec::new(), 0);
            for length in pieces {
                let (before, had) = (whole.len(), whole.capacity());
                append(&mut whole, &vec![7; *length]);
                let reserved = whole.len().next_multiple_of(REQUEST_UNIT);
                assert!(whole.capacity() <= reserved, "{}", whole.capacity());
                copied += if whole.capacity() > had { before } else { 0 };
            }
            assert_eq!(whole, vec![7; pieces.iter().sum()]);
            assert!(copied <= 3 * whole.len(), "{copied} bytes were copied");
        }
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
