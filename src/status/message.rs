//! Writes the message: what happened, whose fault it is, whether to retry.

use std::{fmt::Write, time::Duration};

use super::{Context, Failure, Outcome, Reason, Retry, details, text};
use crate::{auth::CredentialOwner, contract::Options, upstream};

/// Bytes of a message.
pub(super) const MESSAGE: usize = 1024;

/// Bytes of a message percent-encoded, as `grpc-message` carries it. Together
/// with the details (5.4 KiB in base64) and the IDs it stays below 8 KiB.
pub(super) const ENCODED: usize = 1792;

/// Writes what happened, whose fault it is, and whether to retry.
pub(super) fn compose(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
) -> String {
    if failure.is_panic() {
        return failure.to_string();
    }
    let reason = failure.reason(context.safe, context.whose_credentials);
    let mut tail = explanation(reason, context.options).to_owned();
    if reason.is_fixed_by_operator()
        && context.whose_credentials == CredentialOwner::Gateway
    {
        tail.push_str(" The key is the gateway's own: its operator must fix this.");
    }
    if let Some(stream) = context.stream.filter(|_| reason.is_of_size()) {
        let _ = write!(tail, " {stream} has no limit for the whole list.");
    }
    tail.push(' ');
    let unsent = context.outcome == Outcome::NotSent
        && !matches!(failure, Failure::Upstream(upstream::Error::NotProcessed(_)));
    tail.push_str(&advice(context, unsent, wait));
    // The advice stays whole; a long message of Polytomic's is shortened.
    let room = MESSAGE.saturating_sub(tail.len() + 2);
    let encoded_room = ENCODED.saturating_sub(text::encoded_length(&tail) + 4);
    let head = text::shorten(&sentence(failure), room, encoded_room);
    let stop = if head.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{head}{stop} {tail}")
}

/// Returns what the reason means to a client of the RPC.
fn explanation(reason: Reason, declared: &Options) -> &str {
    match &declared.not_found {
        Some(not_found) if reason == Reason::UPSTREAM_NOT_FOUND => &not_found.hint,
        _ => reason.explanation(declared.key_class),
    }
}

/// Returns the failure as the start of a sentence.
fn sentence(failure: &Failure) -> String {
    let clause = failure.to_string();
    let clause = match failure {
        // These quote the client or Polytomic.
        Failure::Grpc(_) | Failure::Request(_) | Failure::Response(_) => {
            text::clean(&clause, MESSAGE)
        }
        // The gateway's own words, or clean already.
        Failure::Auth(_)
        | Failure::Budget(_)
        | Failure::Upstream(_)
        | Failure::ErrorResponse(_)
        | Failure::DeadlineExceeded
        | Failure::StreamLimit
        | Failure::Cancelled
        | Failure::ConnectionEnded
        | Failure::Panic => clause,
    };
    let mut rest = clause.chars();
    rest.next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Writes whether, when and how to retry.
fn advice(context: &Context<'_>, unsent: bool, wait: Option<Duration>) -> String {
    let key = details::idempotency_key(context);
    let in_doubt = match (context.retry, key) {
        (Retry::Never, _) => return "Retrying unchanged will not help.".to_owned(),
        (Retry::Safe | Retry::ByClient, _) => return safe(unsent, wait),
        (Retry::SameKey | Retry::ReturnedKey, Some(key)) => {
            let later = after(wait);
            format!("retry{later} with idempotency key {key}, within 24 hours")
        }
        (Retry::SameKeyOnceFixed, Some(key)) => format!(
            "once the cause is fixed, retry with idempotency key {key}, within 24 hours"
        ),
        (Retry::ListThenNewKey, Some(key)) => format!(
            "list first; to retry, use a new idempotency key, since Polytomic replays this \
             error for {key}"
        ),
        (_, None) => "a retry may take effect again".to_owned(),
    };
    format!("The call may have taken effect: {in_doubt}.")
}

fn safe(unsent: bool, wait: Option<Duration>) -> String {
    let later = after(wait);
    let unsent = if unsent { "Nothing was sent to Polytomic. " } else { "" };
    format!("{unsent}Retrying{later} is safe.")
}

fn after(wait: Option<Duration>) -> String {
    match wait {
        Some(wait) if !wait.is_zero() => {
            format!(" after {} s", wait.as_millis().div_ceil(1000))
        }
        _ => String::new(),
    }
}
