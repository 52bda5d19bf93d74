//! How a fake upstream plays its script on one connection.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{CREATED, LISTED, Response, Seen, State, Step, http1::Http1, http2::Http2};
use crate::Protocol;

/// The upstream's side of a connection in one protocol. What is written about a
/// response is about the request that was read last.
pub(super) trait Side {
    /// Reads the next request, or none if the peer has closed the connection.
    async fn request(&mut self) -> io::Result<Option<Seen>>;

    /// Writes bytes that belong to no response.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    async fn respond(&mut self, response: Response) -> io::Result<()>;

    async fn head(&mut self, response: &Response) -> io::Result<()>;

    async fn data(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes an HTTP/2 frame, on the request's stream unless another is named.
    async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: Option<u32>,
        payload: &[u8],
    ) -> io::Result<()>;

    /// Waits for a time, or fails as soon as the peer abandons the request.
    async fn pause(&mut self, time: Duration) -> io::Result<()>;

    /// Waits until the peer abandons the request.
    async fn abandoned(&mut self);

    /// Reports whether the peer has abandoned the request and kept the connection.
    fn is_reset(&self) -> bool;

    async fn close_write(&mut self) -> io::Result<()>;
}

/// How a connection continues after some steps.
#[derive(PartialEq)]
enum Next {
    Request,
    Close,
    Reset,
}

pub(super) async fn accepted(mut stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let next = match state.script.tls.clone() {
        None => serve(&mut stream, &state).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(mut tls) => {
                let next = serve(&mut tls, &state).await;
                stream = tls.into_inner().0;
                next
            }
            Err(_) => return,
        },
    };
    if matches!(next, Ok(Next::Reset)) {
        // Without lingering the close that follows is a reset, not a FIN.
        stream.set_zero_linger().unwrap();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &State,
) -> io::Result<Next> {
    match state.script.protocol {
        Protocol::Http1 => converse(&mut Http1::new(stream), state).await,
        Protocol::Http2 => converse(&mut Http2::new(stream), state).await,
    }
}

async fn converse(side: &mut impl Side, state: &State) -> io::Result<Next> {
    let next = play(side, state, &state.script.greeting, "").await?;
    if next != Next::Request {
        return Ok(next);
    }
    while let Some(seen) = side.request().await? {
        let line = seen.line.clone();
        match play(side, state, &state.react(seen), &line).await {
            Ok(Next::Request) => {}
            Err(_) if side.is_reset() => {}
            end => return end,
        }
    }
    Ok(Next::Close)
}

async fn play(
    side: &mut impl Side,
    state: &State,
    steps: &[Step],
    line: &str,
) -> io::Result<Next> {
    let wrote = |bytes: &[u8]| state.written.fetch_add(bytes.len() as u64, Relaxed);
    for step in steps {
        match step {
            Step::Write(bytes) => {
                side.write(bytes).await?;
                wrote(bytes);
            }
            Step::Answer => {
                let body = if line.starts_with("POST") { CREATED } else { LISTED };
                side.respond(Response::json(200, body)).await?;
            }
            Step::Respond(response) => side.respond(response.clone()).await?,
            Step::Head(response) => side.head(response).await?,
            Step::Data(bytes) => {
                side.data(bytes).await?;
                wrote(bytes);
            }
            Step::Drip(bytes, pause) => {
                for byte in bytes.chunks(1) {
                    side.pause(*pause).await?;
                    side.data(byte).await?;
                }
            }
            Step::Pause(time) => side.pause(*time).await?,
            Step::Flood(bytes) => loop {
                side.data(bytes).await?;
                wrote(bytes);
            },
            Step::HalfClose => side.close_write().await?,
            Step::Stall => {
                side.abandoned().await;
                state.deserted.fetch_add(1, Relaxed);
                return Ok(if side.is_reset() { Next::Request } else { Next::Close });
            }
            Step::Close => return Ok(Next::Close),
            Step::Reset => return Ok(Next::Reset),
            Step::Frame(kind, flags, payload) => {
                side.frame(*kind, *flags, None, payload).await?;
            }
            Step::GoAway(last, code) => {
                let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
                side.frame(crate::frames::GOAWAY, 0, Some(0), &payload).await?;
            }
        }
    }
    Ok(Next::Request)
}

/// Writes bytes, and leaves none in a buffer.
pub(super) async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
