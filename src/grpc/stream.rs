//! Serves a stream: its messages in frames, as many in one piece as are ready together.

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use tokio::task::yield_now;
use tonic::Status;

use super::{
    body,
    response::{self, Body, PREFIX},
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
    let pieces = Pieces { messages, frames: Vec::new(), failed: None };
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
    /// The status of the stream, if it failed after a message that was ready.
    failed: Option<Status>,
}

impl Pieces {
    /// Returns the next piece: waits for one message, and adds those that are ready.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if let Some(status) = self.failed.take() {
            return Err(status);
        }
        if self.frames.len() >= PIECE {
            // A fast upstream and a fast client would keep the thread.
            yield_now().await;
        }
        self.frames.clear();
        self.frames.shrink_to(KEPT);
        let start = self.begin();
        if !self.messages.next(&mut self.frames).await? {
            return Ok(None);
        }
        self.end(start);
        while self.frames.len() < PIECE {
            let start = self.begin();
            let next = self.messages.try_next(&mut self.frames);
            if let Ok(true) = next {
                self.end(start);
                continue;
            }
            self.frames.truncate(start);
            self.failed = next.err();
            break;
        }
        Ok(Some(Bytes::copy_from_slice(&self.frames)))
    }

    /// Leaves room for the prefix of a message. Returns where it begins.
    fn begin(&mut self) -> usize {
        let start = self.frames.len();
        self.frames.extend(response::prefix(0));
        start
    }

    /// Writes the prefix of the message that began there.
    fn end(&mut self, start: usize) {
        let message = start + PREFIX;
        let prefix = response::prefix(self.frames.len() - message);
        self.frames[start..message].copy_from_slice(&prefix);
    }
}
