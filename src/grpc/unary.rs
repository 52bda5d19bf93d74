//! One unary RPC: bytes in, bytes out.
//!
//! A message is all that a request and an answer have, so their framing is a few
//! lines; tonic's would take one more copy, and could not say how a request is
//! malformed.

use std::{future::ready, pin::pin, sync::Arc, time::Duration};

use crate::{
    budget::{Capacities, Reservation},
    contract::Rpc,
    gateway::{self, Gateway},
    status::Failure,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout};
use tonic::{Request, Status, body::Body};

use super::Error;

/// The greatest request message, in bytes. The requests of the API are ids and
/// names; the limit is there so that no peer can make the server hold more.
pub(super) const REQUEST_LIMIT: usize = 64 * 1024;

/// How long a request message may take to arrive, from its RPC's headers, unless
/// its caller is in more of a hurry. They are sent together; one that takes longer
/// is held back on purpose, or its caller has given it up.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What gRPC puts before a message: a flag and the length.
const PREFIX: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The status of success, in the trailers.
const OK: HeaderValue = HeaderValue::from_static("0");

/// Serves one request for an RPC of the table, whose headers arrived when it
/// says. The RPC and its answer have their places until the peer has taken it.
pub(super) async fn serve(
    gateway: &Gateway,
    rpc: &Arc<Rpc>,
    arrived: Instant,
    request: http::Request<Bytes>,
    capacities: &Capacities,
) -> http::Response<Body> {
    let request = Request::from_http(request);
    let reserved = capacities.try_reserve_rpc();
    let memory = reserved.as_ref().map(|(_, memory)| memory).map_err(|error| *error);
    let outcome = gateway.call(rpc, arrived, request, memory).await;
    // The RPC is no longer in flight, but its response is unread.
    let memory = reserved.map(|(_in_flight, memory)| memory);
    match outcome {
        Ok(response) => {
            let (metadata, body, _) = response.into_parts();
            let message = body.into_message();
            let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, OK)]);
            let body =
                Full::new(frame(&message)).with_trailers(ready(Some(Ok(trailers))));
            let body = capacities.unread.watch(body, Arc::new(memory));
            let mut response = http::Response::new(body);
            *response.headers_mut() = metadata.into_headers();
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            response
        }
        Err(status) => status.into_http(),
    }
}

/// Puts a message into the frame of gRPC (PROTOCOL-HTTP2,
/// "Length-Prefixed-Message").
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("answers are limited to far less");
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put(message);
    frame.freeze()
}

/// Returns how long the message of a request may take to arrive: not beyond the
/// deadline of its caller.
pub(super) fn receive_timeout(headers: &HeaderMap) -> Duration {
    let left = gateway::time_allowed(headers).unwrap_or(REQUEST_TIMEOUT);
    left.min(REQUEST_TIMEOUT)
}

/// Reads the whole body of a request, within the limits of one.
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

/// Copies the data of a body together: a frame of one byte, kept as it came,
/// would keep all the bytes that were read with it.
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

/// Takes a message out of the frame of gRPC: one that is not compressed, and
/// nothing after it.
pub(super) fn message(body: &Bytes) -> Result<Bytes, Error> {
    let Some(([flag, length @ ..], message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(Error::Malformed("it ends before its message".to_owned()));
    };
    if *flag == 1 {
        return Err(Error::Compressed);
    }
    if *flag != 0 {
        return Err(Error::Malformed("its frame begins with no flag".to_owned()));
    }
    let stated = u32::from_be_bytes(*length) as usize;
    if message.len() != stated {
        return Err(Error::Malformed(format!(
            "it states {stated} bytes and has {}",
            message.len()
        )));
    }
    Ok(body.slice(PREFIX..))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

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
    async fn a_request_that_does_not_arrive_is_given_up() {
        let started = Instant::now();
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert!(matches!(receive(body).await, Err(Failure::Grpc(Error::Late))));
        assert!(started.elapsed() < REQUEST_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_is_refused() {
        let allowed = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT]);
        assert_eq!(receive(Full::new(allowed.clone())).await.unwrap(), allowed);
        let larger = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT + 1]);
        let refused = receive(Full::new(larger)).await;
        assert!(matches!(refused, Err(Failure::Grpc(Error::TooLarge { .. }))));
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
    fn a_body_is_one_whole_message_that_is_not_compressed() {
        let message = |bytes: &'static [u8]| message(&Bytes::from_static(bytes));
        assert_eq!(message(b"\0\0\0\0\x02ab").unwrap(), "ab");
        assert_eq!(message(b"\0\0\0\0\0").unwrap(), "");
        assert_eq!(super::message(&frame(b"ab")).unwrap(), "ab");
        let compressed = message(b"\x01\0\0\0\x01a");
        assert!(matches!(compressed, Err(Error::Compressed)));
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\x02\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\0a",
            b"\0\xff\xff\xff\xff",
        ] {
            let refused = message(bad);
            assert!(matches!(refused, Err(Error::Malformed(_))), "{bad:?}");
        }
    }
}
