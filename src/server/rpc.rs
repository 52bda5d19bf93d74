//! One unary RPC on tonic's framing: bytes in, bytes out.

use std::{pin::Pin, sync::Arc};

use bytes::{Buf, BufMut, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, UnaryService},
};

use crate::{
    contract::Rpc,
    gateway::{self, Gateway},
    status::Failure,
};

/// The greatest request message, in bytes. The requests of the API are ids and
/// names; the limit is there so that no peer can make the server hold more.
const REQUEST_LIMIT: usize = 64 * 1024;

/// What gRPC puts before a message: a flag and the length.
const PREFIX: usize = 5;

/// Serves one request for an RPC of the table.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    rpc: Arc<Rpc>,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let too_large = gateway::refuse(
        &parts.headers,
        Failure::RequestTooLarge { limit: REQUEST_LIMIT },
    );
    let body = Limited::new(body, PREFIX + REQUEST_LIMIT).map_err(move |error| {
        if error.is::<LengthLimitError>() { too_large.clone().into() } else { error }
    });
    let request = http::Request::from_parts(parts, body);
    Grpc::new(BytesCodec).unary(Unary { gateway, rpc }, request).await
}

struct Unary {
    gateway: Arc<Gateway>,
    rpc: Arc<Rpc>,
}

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let gateway = Arc::clone(&self.gateway);
        let rpc = Arc::clone(&self.rpc);
        Box::pin(async move { gateway.call(&rpc, request).await })
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
