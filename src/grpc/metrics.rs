//! What is counted of RPCs that are not of the contract: health, reflection, and `other`
//! for all that are unknown.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::unfold};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use super::response::PREFIX;
use crate::{
    gateway::{CountedRpc, Gateway, RpcMetrics},
    status::Failure,
};

/// The type, service and name of each RPC.
const KNOWN: [[&str; 3]; 5] = [
    ["unary", "grpc.health.v1.Health", "Check"],
    ["unary", "grpc.health.v1.Health", "List"],
    ["server_stream", "grpc.health.v1.Health", "Watch"],
    ["bidi_stream", "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"],
    ["bidi_stream", "grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"],
];

/// What is counted of RPCs that are not of the contract.
#[derive(Debug)]
pub(super) struct Others {
    /// By path.
    known: Vec<(String, Arc<RpcMetrics>)>,
    other: Arc<RpcMetrics>,
}

impl Others {
    pub(super) fn new(gateway: &Gateway) -> Self {
        let known = KNOWN.map(|labels @ [_, service, name]| {
            (format!("/{service}/{name}"), gateway.other_rpc_metrics(labels))
        });
        let other = gateway.other_rpc_metrics(["unary", "other", "other"]);
        Self { known: known.into(), other }
    }

    /// Returns what is counted of the RPC with this path.
    pub(super) fn of(&self, path: &str) -> &Arc<RpcMetrics> {
        let known = self.known.iter().find(|(known, _)| known == path);
        known.map_or(&self.other, |(_, metrics)| metrics)
    }

    pub(super) fn all(&self) -> Vec<Arc<RpcMetrics>> {
        let all = self.known.iter().map(|(_, metrics)| metrics).chain([&self.other]);
        all.map(Arc::clone).collect()
    }
}

/// Counts the messages of a stream and its end. `fail` makes the status of a failure, and
/// ends the RPC with it.
pub(super) fn count_messages<M>(
    messages: impl Stream<Item = Result<M, Failure>>,
    counted: CountedRpc,
    fail: impl FnOnce(CountedRpc, Failure) -> Status,
) -> impl Stream<Item = Result<M, Status>> {
    let stream = Some((Box::pin(messages), counted, fail));
    unfold(stream, async |stream| {
        let (mut messages, counted, fail) = stream?;
        match messages.next().await {
            Some(Ok(message)) => {
                counted.sent(1);
                Some((Ok(message), Some((messages, counted, fail))))
            }
            Some(Err(failure)) => Some((Err(fail(counted, failure)), None)),
            None => {
                counted.end(Code::Ok);
                None
            }
        }
    })
}

/// Returns the response of a library, whose body counts its messages and its end.
pub(super) fn count_response(
    response: http::Response<Body>,
    counted: CountedRpc,
) -> http::Response<Body> {
    // An error without messages has its status among the headers.
    let counted = match code(response.headers()) {
        Some(code) => {
            counted.end(code);
            None
        }
        None => Some(counted),
    };
    response.map(|body| Body::new(CountedBody { body, counted }))
}

/// A body whose frames of data each have whole messages.
#[derive(Debug)]
struct CountedBody {
    body: Body,
    /// Until the RPC has ended.
    counted: Option<CountedRpc>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            if let (Some(data), Some(counted)) = (frame.data_ref(), &self.counted) {
                counted.sent(messages(data));
            }
            if let Some(code) = frame.trailers_ref().and_then(code)
                && let Some(counted) = self.counted.take()
            {
                counted.end(code);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// Returns the number of messages in frames of gRPC.
fn messages(mut frames: &[u8]) -> u64 {
    let mut messages = 0;
    while let Some(([_, length @ ..], rest)) = frames.split_first_chunk::<PREFIX>() {
        messages += 1;
        let length = u32::from_be_bytes(*length) as usize;
        frames = rest.get(length..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_a_frame_are_counted() {
        for (frames, count) in
            [(&b""[..], 0), (b"\0\0\0\0\0", 1), (b"\0\0\0\0\x02ab\0\0\0\0\x01c", 2)]
        {
            assert_eq!(messages(frames), count);
        }
    }
}
