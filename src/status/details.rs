//! The `google.rpc` details of an error, at most one of each, each bounded.
//!
//! gRPC clients may reject trailers above 8 KiB, and would then learn nothing. So
//! every part has a length here: whatever Polytomic sent, the largest sum is about
//! 3.8 KiB, message included, of the 4 KiB meant for it.

use std::{collections::HashMap, time::Duration};

use tonic_types::{
    ErrorDetails, FieldViolation, HelpLink, PreconditionViolation, QuotaViolation,
};

use super::{
    Context, ErrorResponse, Failure, Retry,
    row::Attach,
    table::{IDEMPOTENCY, REFERENCE, row_of},
    text,
};
use crate::{
    auth::CredentialOwner,
    contract::{Link, Options},
    transcode::{RequestError, Violation},
    upstream,
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

const UNKNOWN: &str = "the outcome is unknown: a retry may take effect again";
const SAME_KEY: &str = "the outcome is unknown: retry with this idempotency key";
const NEW_KEY: &str = "the outcome is unknown: list first, a retry with this idempotency key replays the error";

/// Collects the details of a failure; `wait` is the client's wait before a retry.
pub(super) fn collect(
    failure: &Failure,
    context: &Context<'_>,
    wait: Option<Duration>,
) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_error_info(
        failure.reason(context.safe, context.whose_credentials).as_str(),
        DOMAIN,
        metadata(failure, context),
    );
    details.set_request_info(text::identifier(context.request_id, NAME), "");
    if wait.is_some() {
        details.set_retry_info(wait);
    }
    for attach in row_of(failure).attach {
        add(&mut details, *attach, failure, context);
    }
    if context.retry.is_in_doubt() && !details.has_help_links() {
        let title = match (context.idempotency_key, context.retry) {
            (None, _) => UNKNOWN,
            (Some(_), Retry::ListThenNewKey) => NEW_KEY,
            (Some(_), _) => SAME_KEY,
        };
        details.add_help_link(title, IDEMPOTENCY);
    }
    details
}

/// Returns the idempotency key, on an RPC that has one.
pub(super) fn idempotency_key(context: &Context<'_>) -> Option<String> {
    let key = context.idempotency_key.filter(|_| !context.safe)?;
    Some(text::identifier(key, IDEMPOTENCY_KEY))
}

fn metadata(failure: &Failure, context: &Context<'_>) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    let mut set = |name: &str, value: &str| {
        metadata.insert(name.to_owned(), value.to_owned());
    };
    set("outcome", context.outcome.as_str());
    set("retryable", if context.retry.is_retryable() { "true" } else { "false" });
    set("attempts", &context.attempts.to_string());
    if !context.api_version.is_empty() {
        set("apiVersion", &text::identifier(context.api_version, VERSION));
    }
    if let Some(key) = idempotency_key(context) {
        set("idempotencyKey", &key);
        set("idempotencyKeyOrigin", context.idempotency_key_origin);
    }
    if let Failure::Upstream(upstream::Error::CircuitOpen { circuit, .. }) = failure {
        set("circuit", circuit.as_str());
    }
    if let Failure::ErrorResponse(response) = failure {
        set("httpStatus", response.status().as_str());
        for (name, value) in response.extras() {
            set(name, value);
        }
        if let Some(key) = response.key() {
            set("upstreamKey", key);
        }
        if let Some(id) = response.upstream_request_id() {
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
    let response = match failure {
        Failure::ErrorResponse(response) => Some(&**response),
        _ => None,
    };
    match attach {
        // Set above: the wait depends on more than the row.
        Attach::Retry => {}
        Attach::BadRequest => {
            let violations = match failure {
                Failure::Request(RequestError::Invalid(violations)) => {
                    violations.as_slice()
                }
                _ => response.map(ErrorResponse::fields).unwrap_or_default(),
            };
            let violations = bounded(violations);
            if !violations.is_empty() {
                details.set_bad_request(violations);
            }
        }
        // A proxy knows nothing of resources and quotas.
        Attach::Resource | Attach::Quota
            if !response.is_some_and(ErrorResponse::is_polytomics) => {}
        Attach::Resource => {
            if let Some((kind, name)) = context.resource {
                let description =
                    response.and_then(ErrorResponse::message).unwrap_or_default();
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
                CredentialOwner::Caller => "the client's credentials",
                CredentialOwner::Gateway => "the gateway's credentials",
            };
            let subject = context.fingerprint.unwrap_or(whose);
            details.set_quota_failure(vec![QuotaViolation::new(
                text::clean(subject, FIELD),
                told(
                    response,
                    "Polytomic limits the rate of requests with these credentials",
                ),
            )]);
        }
        Attach::Precondition => {
            let kind = response.and_then(ErrorResponse::key).unwrap_or("UPSTREAM_STATE");
            let subject = context.resource.map_or("", |(_, name)| name);
            details.set_precondition_failure(vec![PreconditionViolation::new(
                kind,
                text::clean(subject, NAME),
                told(response, "Polytomic requires another state"),
            )]);
        }
        Attach::Reference => {
            details.set_help(vec![reference(context.options)]);
        }
        Attach::Hint => {
            let hint = context.options.not_found.as_ref();
            let page = hint.and_then(|hint| hint.help.as_ref()).map(link);
            let page = page.unwrap_or_else(|| reference(context.options));
            details.set_help(vec![page]);
        }
        Attach::Help(page) => {
            details.set_help(vec![HelpLink::new(page.title, page.url)]);
        }
    }
}

/// Returns the page that documents the RPC.
fn reference(options: &Options) -> HelpLink {
    let general = || HelpLink::new(REFERENCE.title, REFERENCE.url);
    options.reference.as_ref().map_or_else(general, link)
}

fn link(link: &Link) -> HelpLink {
    HelpLink::new(&link.title, &link.url)
}

/// Returns Polytomic's message, cut to a description, or words of ours.
fn told(response: Option<&ErrorResponse>, otherwise: &str) -> String {
    let message = response.and_then(ErrorResponse::message).unwrap_or(otherwise);
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
