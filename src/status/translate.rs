//! Puts a failure together as it goes over the wire.

use std::{sync::Arc, time::Duration};

use tonic::{
    Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::StatusExt as _;

use super::{Context, Failure, details, message, row::Attach, table::row_of, text};
use crate::grpc::Error as GrpcError;

/// The wait before a retry when Polytomic states none: about what an RPC takes, and
/// a client's usual first.
const WAIT: Duration = Duration::from_secs(1);

/// How long a client's retry policy is to wait, or -1: it must not retry (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The compressions that the gateway reads, for a client that used another
/// (compression.md).
const ACCEPTED: (&str, &str) = ("grpc-accept-encoding", "identity");

/// Translates a failure; `draw` is any random number, which spreads retries.
pub(super) fn status(failure: Failure, context: &Context<'_>, draw: u64) -> Status {
    let wait = wait(&failure, context);
    let mut status = Status::with_error_details_and_metadata(
        failure.code(context.safe),
        message::compose(&failure, context, wait),
        details::collect(&failure, context, wait),
        metadata(&failure, context, wait, draw),
    );
    status.set_source(Arc::new(failure));
    status
}

/// Returns how long the client should wait, if it may retry.
fn wait(failure: &Failure, context: &Context<'_>) -> Option<Duration> {
    if !context.retry.is_retryable() {
        return None;
    }
    let ours = row_of(failure).attach.contains(&Attach::Retry).then_some(WAIT);
    failure.retry_after().or(ours)
}

fn metadata(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
    draw: u64,
) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    if matches!(failure, Failure::Grpc(GrpcError::Compressed)) {
        let (name, encodings) = ACCEPTED;
        metadata.insert(name, MetadataValue::from_static(encodings));
    }
    if !context.retry.is_for_policies() {
        metadata.insert(PUSHBACK, (-1_i32).into());
    } else if let Some(wait) = wait {
        metadata.insert(PUSHBACK, spread(wait, draw).into());
    }
    if let Ok(id) = text::identifier(context.request_id, 128).parse() {
        metadata.insert("x-request-id", id);
    }
    metadata
}

/// Adds up to a fifth to a wait, in milliseconds: policies retry after exactly this
/// wait, and would otherwise do so together. Java's hold 31 bits, about 25 days.
fn spread(wait: Duration, draw: u64) -> i32 {
    let millis = u64::from(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    let spread = millis + draw % (millis / 5 + 1);
    i32::try_from(spread).unwrap_or(i32::MAX)
}
