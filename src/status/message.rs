//! Writes the message: what happened, whose fault it is, whether to repeat.

use std::time::Duration;

use super::{
    Context, CredentialOwner, Failure, Outcome, Reason, Violation, details, text, words,
};

/// Bytes of a message.
pub(super) const MESSAGE: usize = 1024;

/// Bytes of a message percent-encoded, as `grpc-message` carries it. Together
/// with the details (5.4 KiB in base64) and the ids it stays below 8 KiB.
pub(super) const ENCODED: usize = 1792;

/// Says what happened, whose fault it is, and whether to repeat the call.
pub(super) fn compose(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
) -> String {
    if matches!(failure, Failure::Panic) {
        return failure.to_string();
    }
    let reason = failure.reason(context);
    let is_for_partners =
        matches!(reason, Reason::PartnerKeyRequired | Reason::UpstreamForbidden);
    let mut tail = words::explanation(reason).to_owned();
    if is_for_partners && context.whose_credentials == CredentialOwner::Gateway {
        tail.push_str(" The credentials are the gateway's: its operator must mend this.");
    }
    tail.push(' ');
    tail.push_str(&advice(failure, context, wait));
    // The advice stays whole; a long message of Polytomic's gives way.
    let room = MESSAGE.saturating_sub(tail.len() + 2);
    let encoded_room = ENCODED.saturating_sub(text::encoded_length(&tail) + 4);
    let head = text::shorten(&sentence(failure), room, encoded_room);
    let stop = if head.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{head}{stop} {tail}")
}

/// Returns the failure as the start of a sentence.
fn sentence(failure: &Failure) -> String {
    let clause = failure.to_string();
    let clause = match failure {
        Failure::InvalidFields(_)
        | Failure::InvalidMessage(_)
        | Failure::NotPartnerKey { .. }
        | Failure::BadResponse(_) => text::clean(&clause, MESSAGE),
        // Ours from end to end, or clean already.
        _ => clause,
    };
    let mut rest = clause.chars();
    rest.next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Says whether, when and how to repeat the call.
fn advice(failure: &Failure, context: &Context<'_>, wait: Option<Duration>) -> String {
    if details::is_in_doubt(failure, context) {
        return doubt(failure, details::idempotency_key(context));
    }
    if !failure.invites_repeat(context) {
        return "Repeating the call unchanged will not help.".to_owned();
    }
    let later = match wait {
        Some(wait) if !wait.is_zero() => {
            format!(" after {} s", wait.as_millis().div_ceil(1000))
        }
        _ => String::new(),
    };
    let unsent = failure.outcome_of_rpc(context) == Outcome::NotSent;
    let unsent = if unsent { "Nothing was sent to Polytomic. " } else { "" };
    format!("{unsent}Repeating the call{later} is safe.")
}

/// Says how to find out what became of a call, without it taking effect twice.
fn doubt(failure: &Failure, key: Option<String>) -> String {
    let next = match key {
        None => "list before repeating".to_owned(),
        Some(key) if failure.is_recorded() => format!(
            "list before repeating, and use a new idempotency key then, \
             since Polytomic replays this answer to {key}"
        ),
        Some(key) if failure.is_worth_repeating(false) => {
            format!("repeat it with idempotency key {key}, or list before repeating")
        }
        Some(key) => {
            format!("list before repeating, and then use idempotency key {key} again")
        }
    };
    format!("It is unknown whether the call took effect: {next}.")
}

/// Joins broken constraints into one clause.
pub(super) fn violations(violations: &[Violation]) -> String {
    let clause = |violation: &Violation| {
        format!("`{}` {}", violation.field, violation.description)
    };
    let clauses: Vec<String> = violations.iter().map(clause).collect();
    format!("the request is invalid: {}", clauses.join("; "))
}
