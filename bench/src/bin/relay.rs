//! A relay of bytes: the JSON of the upstream is the message, sent on as it arrives.
//! The measure of what translating a long list costs.

use std::{future::ready, sync::Arc};

use bytes::Bytes;
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use gateway_bench::{
    Arguments, Error, frame_header,
    lean::{Lean, response, serve, trailers},
};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyDataStream, StreamBody};
use hyper::body::Incoming;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let lean = Arc::new(Lean::new(&arguments)?);
    serve(&arguments, move |request| respond(lean.clone(), request)).await
}

async fn respond(
    lean: Arc<Lean>,
    request: Request<Incoming>,
) -> Response<impl Body<Data = Bytes, Error = Error>> {
    let relayed = relay(&lean, request).await;
    let trailers = Frame::trailers(trailers(relayed.is_ok()));
    let frames = stream::iter(relayed.ok()).flatten();
    response(StreamBody::new(frames.chain(stream::once(ready(Ok(trailers))))))
}

/// Returns the frame of a message, then the body of the response in its chunks.
async fn relay(
    lean: &Lean,
    request: Request<Incoming>,
) -> Result<impl StreamExt<Item = Result<Frame<Bytes>, Error>> + use<>, Error> {
    let (_, response) = lean.send(request).await?;
    let body = response.into_body();
    let length = body.size_hint().exact().ok_or("the upstream states no length")?;
    let header = stream::once(ready(Ok(frame_header(usize::try_from(length)?)?)));
    let chunks = BodyDataStream::new(body).map_err(Error::from);
    Ok(header.chain(chunks).map_ok(Frame::data))
}
