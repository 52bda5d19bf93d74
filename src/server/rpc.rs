//! One unary RPC on tonic's framing: bytes in, bytes out.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, UnaryService},
};

use super::arriving::Place;
use crate::{
    contract::Rpc,
    gateway::{self, Gateway},
    status::{BoxError, Failure},
};

/// The greatest request message, in bytes. The requests of the API are ids and
/// names; the limit is there so that no peer can make the server hold more.
pub(super) const REQUEST_LIMIT: usize = 64 * 1024;

/// How long a request message may take to arrive, from its RPC's headers, unless
/// its caller is in more of a hurry. They are sent together; one that takes longer is held back on purpose, or its
/// caller has given it up.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// When to try again if too many requests are arriving.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What gRPC puts before a message: a flag and the length.
const PREFIX: usize = 5;

/// Serves one request for an RPC of the table, whose headers arrived when it
/// says.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    rpc: Arc<Rpc>,
    arrived: Instant,
    request: http::Request<Bytes>,
) -> http::Response<Body> {
    Grpc::new(BytesCodec)
        .unary(Unary { gateway, rpc, arrived }, request.map(Full::new))
        .await
}

/// Returns how long the message of a request may take to arrive: not beyond the
/// deadline of its caller.
pub(super) fn patience(headers: &HeaderMap) -> Duration {
    let left = gateway::time_allowed(headers).unwrap_or(REQUEST_TIMEOUT);
    left.min(REQUEST_TIMEOUT)
}

/// Reads the whole body of a request, within the limits of one. Its place is
/// free again afterwards.
pub(super) async fn receive<B>(
    body: B,
    place: Place,
    patience: Duration,
) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    timeout(patience, collect(body, place))
        .await
        .unwrap_or(Err(Failure::DeadlineExceeded))
}

/// Copies the data of a body together: a frame of one byte, kept as it came,
/// would keep all the bytes that were read with it.
async fn collect<B>(body: B, mut place: Place) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::Cancelled)?;
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > PREFIX + REQUEST_LIMIT {
            return Err(Failure::RequestTooLarge { limit: REQUEST_LIMIT });
        }
        if !place.make_room(length) {
            return Err(Failure::Overloaded { retry_after: RETRY_AFTER });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Checks that a body is one message that is not compressed, in the frame of
/// gRPC (PROTOCOL-HTTP2, "Length-Prefixed-Message").
///
/// tonic checks the same, but its refusals have no details.
pub(super) fn framed(body: Bytes) -> Result<Bytes, Failure> {
    let Some(([flag, length @ ..], message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(Failure::InvalidMessage("it ends before its message".to_owned()));
    };
    if *flag == 1 {
        return Err(Failure::CompressionUnsupported);
    }
    if *flag != 0 {
        return Err(Failure::InvalidMessage("its frame begins with no flag".to_owned()));
    }
    let stated = u32::from_be_bytes(*length) as usize;
    if message.len() != stated {
        return Err(Failure::InvalidMessage(format!(
            "it states {stated} bytes and has {}",
            message.len()
        )));
    }
    Ok(body)
}

struct Unary {
    gateway: Arc<Gateway>,
    rpc: Arc<Rpc>,
    arrived: Instant,
}

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let gateway = Arc::clone(&self.gateway);
        let rpc = Arc::clone(&self.rpc);
        let arrived = self.arrived;
        Box::pin(async move { gateway.call(&rpc, arrived, request).await })
    }
}

/// Leaves messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(
        &mut self,
        message: Bytes,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        buffer.reserve(message.len());
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::server::arriving::Arriving;

    async fn receive<B>(body: B) -> Result<Bytes, Failure>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let arriving = Arriving::with(64);
        let received =
            super::receive(body, arriving.enter().unwrap(), REQUEST_TIMEOUT).await;
        assert!(arriving.enter().is_some(), "the place is free again");
        received
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_arrive_is_given_up() {
        let started = Instant::now();
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>());
        assert!(matches!(receive(body).await, Err(Failure::DeadlineExceeded)));
        assert!(started.elapsed() < REQUEST_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_is_refused() {
        let allowed = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT]);
        assert_eq!(receive(Full::new(allowed.clone())).await.unwrap(), allowed);
        let larger = Bytes::from(vec![0; PREFIX + REQUEST_LIMIT + 1]);
        let refused = receive(Full::new(larger)).await;
        assert!(matches!(refused, Err(Failure::RequestTooLarge { .. })));
    }

    #[tokio::test]
    async fn a_request_is_shed_once_there_is_no_room_for_it() {
        let arriving = Arriving::with(16);
        let body = |bytes| Full::new(Bytes::from(vec![0; bytes]));
        let receive = |bytes| {
            super::receive(body(bytes), arriving.enter().unwrap(), REQUEST_TIMEOUT)
        };
        assert!(receive(8 * 4096).await.is_ok());
        let shed = receive(8 * 4096 + 1).await;
        assert!(matches!(shed, Err(Failure::Overloaded { .. })));
    }

    #[test]
    fn a_body_is_one_whole_message_that_is_not_compressed() {
        let framed = |bytes: &'static [u8]| framed(Bytes::from_static(bytes));
        assert_eq!(framed(b"\0\0\0\0\x02ab").unwrap(), &b"\0\0\0\0\x02ab"[..]);
        assert_eq!(framed(b"\0\0\0\0\0").unwrap().len(), PREFIX);
        let compressed = framed(b"\x01\0\0\0\x01a");
        assert!(matches!(compressed, Err(Failure::CompressionUnsupported)));
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\x02\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\0a",
            b"\0\xff\xff\xff\xff",
        ] {
            let refused = framed(bad);
            assert!(matches!(refused, Err(Failure::InvalidMessage(_))), "{bad:?}");
        }
    }
}
