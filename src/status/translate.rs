//! The one translation of a failure to what goes over the wire.

use std::{sync::Arc, time::Duration};

use tonic::{Status, metadata::MetadataMap};
use tonic_types::StatusExt as _;

use super::{Context, Failure, details, message, row::Attach, text};

/// The wait before a repeat when neither side states one: a client's usual first.
const WAIT: Duration = Duration::from_secs(1);

/// Tells a client's retry policy how long to wait, or not to repeat (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Translates a failure; `draw` is any random number, it spreads repeats.
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

/// Returns how long a caller should wait, if it is invited to repeat.
fn wait(failure: &Failure, context: &Context<'_>) -> Option<Duration> {
    if !failure.invites_repeat(context) {
        return None;
    }
    let ours = failure.row().attach.contains(&Attach::Retry).then_some(WAIT);
    failure.retry_after().or(ours)
}

fn metadata(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
    draw: u64,
) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    // A policy marks what it sends again, which without a key that lasts is refused.
    if !context.is_repeatable() || !failure.invites_repeat(context) {
        metadata.insert(PUSHBACK, (-1_i32).into());
    } else if let Some(wait) = wait {
        metadata.insert(PUSHBACK, spread(wait, draw).into());
    }
    if let Ok(id) = text::identifier(context.request_id, 128).parse() {
        metadata.insert("x-request-id", id);
    }
    metadata
}

/// Adds up to a fifth to a wait, in milliseconds: clients repeat at exactly that
/// delay, and all at once would be too many.
fn spread(wait: Duration, draw: u64) -> u64 {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
    millis + draw % (millis / 5 + 1)
}
