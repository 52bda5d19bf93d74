//! The least that a gateway can be: a server, a client and the transcoder, with no
//! feature of the gateway. The measure of what the features cost.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
};

use bytes::{Buf, Bytes, buf::Chain};
use clap::Parser;
use gateway_bench::{
    Arguments, Error, frame_header,
    lean::{Lean, response, serve, trailers},
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, combinators::WithTrailers};
use hyper::body::Incoming;
use polytomic_gateway::transcode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The frame and the message, sent as one.
type Message = Chain<Bytes, Bytes>;

type Trailers = Ready<Option<Result<HeaderMap, Infallible>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let lean = Arc::new(Lean::new(&arguments)?);
    serve(&arguments, move |request| respond(lean.clone(), request)).await
}

async fn respond(
    lean: Arc<Lean>,
    request: Request<Incoming>,
) -> Response<WithTrailers<Full<Message>, Trailers>> {
    let message = call(&lean, request).await;
    let trailers = ready(Some(Ok(trailers(message.is_ok()))));
    let message = message.unwrap_or_else(|_| Bytes::new().chain(Bytes::new()));
    response(Full::new(message).with_trailers(trailers))
}

async fn call(lean: &Lean, request: Request<Incoming>) -> Result<Message, Error> {
    let (rpc, response) = lean.send(request).await?;
    let json = response.into_body().collect().await?.to_bytes();
    let message = transcode::response(&rpc.response, &json, 2 * json.len())?;
    Ok(frame_header(message.len())?.chain(Bytes::from(message)))
}
