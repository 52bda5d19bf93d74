//! The `google.rpc` details of an error, at most one of each, each bounded.
//!
//! gRPC clients may refuse trailers above 8 KiB, and then a caller would learn
//! nothing at all. So every part has a length here: whatever Polytomic sent, the
//! largest sum is about 3.8 KiB, message included, of the 4 KiB meant for it.

use std::{collections::HashMap, time::Duration};

use tonic_types::{
    ErrorDetails, FieldViolation, HelpLink, PreconditionViolation, QuotaViolation,
};

use super::{
    Context, CredentialOwner, ErrorResponse, Failure, Outcome, Violation, row::Attach,
    table, text,
};

/// The domain of every reason: ours, in the zone that no one else can own.
pub const DOMAIN: &str = "polytomic-gateway.internal";

/// Bytes of a request id, and of a resource's name.
const NAME: usize = 128;

/// Bytes of an idempotency key: the most that Polytomic takes.
const IDEMPOTENCY_KEY: usize = 255;

/// Bytes of an API version. Polytomic's are dates.
const VERSION: usize = 32;

/// Bytes of all violations, and of one field's name and description.
const VIOLATIONS: usize = 768;
const FIELD: usize = 64;
const DESCRIPTION: usize = 256;

const REPEAT_OR_LIST: &str =
    "the outcome is unknown: repeat with this idempotency key, or list before repeating";
const LIST_FIRST: &str = "the outcome is unknown: list before repeating, this idempotency key replays the failure";

/// Collects the details of a failure; `wait` is the delay that a caller is told.
pub(super) fn collect(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_error_info(
        failure.reason(context).as_str(),
        DOMAIN,
        metadata(failure, context),
    );
    details.set_request_info(text::identifier(context.request_id, NAME), "");
    if wait.is_some() {
        details.set_retry_info(wait);
    }
    for attach in failure.row().attach {
        add(&mut details, *attach, failure, context);
    }
    if is_in_doubt(failure, context) && !details.has_help_links() {
        let title = if failure.is_recorded() { LIST_FIRST } else { REPEAT_OR_LIST };
        details.add_help_link(title, table::IDEMPOTENCY_PAGE);
    }
    details
}

/// Says whether a call with an effect may have had it.
pub(super) fn is_in_doubt(failure: &Failure, context: &Context<'_>) -> bool {
    !context.safe && failure.outcome_of_rpc(context) == Outcome::Unknown
}

/// Returns the idempotency key, on a call that has one.
pub(super) fn idempotency_key(context: &Context<'_>) -> Option<String> {
    let key = context.idempotency_key.filter(|_| !context.safe)?;
    Some(text::identifier(key.value, IDEMPOTENCY_KEY))
}

fn metadata(failure: &Failure, context: &Context<'_>) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    let mut set = |name: &str, value: &str| {
        metadata.insert(name.to_owned(), value.to_owned());
    };
    set("outcome", failure.outcome_of_rpc(context).as_str());
    set("retryable", if failure.invites_repeat(context) { "true" } else { "false" });
    set("attempts", &context.attempts.to_string());
    if !context.api_version.is_empty() {
        set("apiVersion", &text::identifier(context.api_version, VERSION));
    }
    if let Some(key) = idempotency_key(context) {
        set("idempotencyKey", &key);
    }
    if let Failure::Refused(refusal) = failure {
        set("httpStatus", refusal.status().as_str());
        for (name, value) in refusal.extras() {
            set(name, value);
        }
        if let Some(key) = refusal.key() {
            set("upstreamKey", key);
        }
        if let Some(id) = refusal.upstream_request_id() {
            set("upstreamRequestId", id);
        }
    }
    metadata
}

fn add(
    details: &mut ErrorDetails,
    attach: Attach,
    failure: &Failure,
    context: &Context<'_>,
) {
    let refusal = match failure {
        Failure::Refused(refusal) => Some(&**refusal),
        _ => None,
    };
    match attach {
        // The wait was set from what is known beyond the row.
        Attach::Retry => {}
        Attach::BadRequest => {
            let violations = match failure {
                Failure::InvalidFields(violations) => violations.as_slice(),
                _ => refusal.map(ErrorResponse::fields).unwrap_or_default(),
            };
            let violations = bounded(violations);
            if !violations.is_empty() {
                details.set_bad_request(violations);
            }
        }
        Attach::BadName => {
            if !context.safe {
                details
                    .add_bad_request_violation("name", "is too long: send a shorter one");
            }
        }
        Attach::Resource => {
            if let Some((kind, name)) = context.resource {
                let description =
                    refusal.and_then(ErrorResponse::message).unwrap_or_default();
                details.set_resource_info(
                    text::clean(kind, FIELD),
                    text::clean(name, NAME),
                    "",
                    text::shorten(description, NAME, usize::MAX),
                );
            }
        }
        Attach::Quota => {
            let whose = match context.whose_credentials {
                CredentialOwner::Caller => "the caller's credentials",
                CredentialOwner::Gateway => "the gateway's credentials",
            };
            let subject = context.fingerprint.unwrap_or(whose);
            details.set_quota_failure(vec![QuotaViolation::new(
                text::clean(subject, FIELD),
                told(refusal, "Polytomic limits how often these credentials may call"),
            )]);
        }
        Attach::Precondition => {
            let kind = refusal.and_then(ErrorResponse::key).unwrap_or("UPSTREAM_STATE");
            let subject = context.resource.map_or("", |(_, name)| name);
            details.set_precondition_failure(vec![PreconditionViolation::new(
                kind,
                text::clean(subject, NAME),
                told(refusal, "a state that Polytomic requires does not hold"),
            )]);
        }
        Attach::Reference => {
            let page = context.page.unwrap_or(table::REFERENCE_PAGE);
            details.set_help(vec![HelpLink::new("Polytomic's API reference", page)]);
        }
        Attach::Help(page) => {
            details.set_help(vec![HelpLink::new(page.title, page.url)]);
        }
    }
}

/// Returns Polytomic's message, cut to a description, or words of ours.
fn told(refusal: Option<&ErrorResponse>, otherwise: &str) -> String {
    let message = refusal.and_then(ErrorResponse::message).unwrap_or(otherwise);
    text::shorten(message, DESCRIPTION, usize::MAX)
}

/// Keeps the violations that fit.
fn bounded(violations: &[Violation]) -> Vec<FieldViolation> {
    let mut room = VIOLATIONS;
    let fit = |violation: &Violation| {
        let field = text::clean(&violation.field, FIELD);
        let description = text::clean(&violation.description, DESCRIPTION);
        // Tags and lengths of the two strings and of the message around them.
        let size = field.len() + description.len() + 8;
        room = room.checked_sub(size)?;
        Some(FieldViolation::new(field, description))
    };
    violations.iter().map_while(fit).collect()
}
