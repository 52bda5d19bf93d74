//! Serves a stream: its messages in frames, as many in one piece as are ready together.

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use tonic::Status;

use super::{
    body,
    response::{self, Body},
    unary,
};
use crate::{budget::UnreadResponses, gateway::Messages};

/// Bytes of frames from which on a piece is sent. Larger ones cost memory, smaller ones
/// time.
const PIECE: usize = 64 * 1024;

/// Bytes that are kept for the next piece, at most.
const KEPT: usize = 2 * PIECE;

/// Returns the response of a stream that has begun.
pub(super) fn response(
    mut headers: HeaderMap,
    messages: Messages,
    unread: &UnreadResponses,
) -> Response<Body> {
    let memory = messages.memory();
    let pieces = Pieces { messages, frames: Vec::new() };
    let pieces = try_unfold(pieces, async |mut pieces| {
        Ok(pieces.next().await?.map(|piece| (vec![piece], pieces)))
    });
    headers.insert(CONTENT_TYPE, unary::GRPC);
    let body = Body::of_stream(body::responses(pieces), unread.stream(memory));
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// The pieces of a response.
struct Pieces {
    messages: Messages,
    /// The frames of the last piece, whose memory the next one uses.
    frames: Vec<u8>,
}

impl Pieces {
    /// Returns the next piece: waits for one message, and adds those that are ready.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.frames.clear();
        self.frames.shrink_to(KEPT);
        let next = self.messages.next(&mut self.frames, response::prefix, PIECE);
        Ok(next.await?.then(|| Bytes::copy_from_slice(&self.frames)))
    }
}
