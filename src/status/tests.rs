#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, error::Error as _, sync::LazyLock, time::SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{row::Row, *};
use crate::{
    auth::Error as Auth,
    contract::{KeyClass, Link, NotFound},
    transcode::{RequestError, Violation},
    upstream::{Circuit, Error as Upstream},
};

mod bodies;
mod properties;
mod retry;
mod rows;

const KEY: &str = "7f4df2e0-2d1b-4f6c-9c43-3f2f4f4d8a11";
const REQUEST: &str = "0198f2b4-0000-7000-8000-000000000001";
const THING: (&str, &str) = ("polytomic.Thing", "248df4b7-aa70-47b8-a036-33ac447e668d");

/// What the RPC of most tests declares.
fn declared() -> &'static Options {
    static DECLARED: LazyLock<Options> = LazyLock::new(|| Options {
        key_class: KeyClass::Partner,
        reference: Some(link("the RPC", "https://example.com/rpc")),
        not_found: Some(NotFound {
            hint: "It may have moved: check both IDs.".to_owned(),
            help: Some(link("where it is", "https://example.com/moved")),
        }),
        ..Options::NONE.clone()
    });
    &DECLARED
}

fn link(title: &str, url: &str) -> Link {
    Link { title: title.to_owned(), url: url.to_owned() }
}

fn list() -> Context<'static> {
    Context {
        options: declared(),
        attempts: 1,
        outcome: Outcome::Rejected,
        resource: Some(THING),
        ..Context::new(REQUEST)
    }
}

fn create() -> Context<'static> {
    let idempotency_key_origin = "derived";
    Context { safe: false, idempotency_key: Some(KEY), idempotency_key_origin, ..list() }
}

fn context(safe: bool) -> Context<'static> {
    if safe { list() } else { create() }
}

/// A list that may be retried.
fn retried() -> Context<'static> {
    Context { retry: Retry::Safe, ..list() }
}

/// A create that may have taken effect.
fn in_doubt(retry: Retry) -> Context<'static> {
    Context { outcome: Outcome::Unknown, retry, ..create() }
}

fn responded(status: u16, body: &str) -> Failure {
    responded_with(status, &[], body)
}

pub(super) fn error_response(status: u16) -> Failure {
    responded(status, "{}")
}

/// One failure of each row without an HTTP status, in the order of the table.
pub(super) fn local_failures() -> Vec<Failure> {
    rows::local().into_iter().map(|row| row.failure).collect()
}

fn responded_with(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Failure {
    let headers = headers.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_static(value))
    });
    let headers: HeaderMap = headers.collect();
    let status = StatusCode::from_u16(status).unwrap();
    let response = ErrorResponse::at(
        status,
        &headers,
        body.as_bytes(),
        &str::to_owned,
        SystemTime::UNIX_EPOCH,
    );
    Failure::ErrorResponse(Box::new(response))
}

/// Translates without spreading the wait.
fn translated(failure: Failure, context: &Context<'_>) -> Status {
    translate::status(failure, context, 0)
}

fn metadata(status: &Status) -> BTreeMap<String, String> {
    status.get_details_error_info().unwrap().metadata.into_iter().collect()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn pushback(status: &Status) -> Option<&str> {
    status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap())
}

/// Returns the links of an error.
fn helps(status: &Status) -> Vec<String> {
    let links = status.get_details_help().unwrap().links.into_iter();
    links.map(|link| format!("{} {}", link.description, link.url)).collect()
}

/// Returns the names of the details other than `ErrorInfo` and `RequestInfo`, which it
/// requires.
fn extra_details(details: &ErrorDetails) -> Vec<&'static str> {
    assert!(details.error_info().is_some() && details.request_info().is_some());
    assert!(details.debug_info().is_none() && details.localized_message().is_none());
    [
        ("BadRequest", details.bad_request().is_some()),
        ("RetryInfo", details.retry_info().is_some()),
        ("ResourceInfo", details.resource_info().is_some()),
        ("QuotaFailure", details.quota_failure().is_some()),
        ("PreconditionFailure", details.precondition_failure().is_some()),
        ("Help", details.help().is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some(name))
    .collect()
}

#[test]
fn not_found_names_the_resource_and_says_what_the_rpc_declares() {
    let failure = responded(404, r#"{"key":"not_found","message":"thing not found"}"#);
    let status = translated(failure, &list());
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        status.message(),
        "Polytomic responded with 404: thing not found. It may have moved: check both IDs. \
         Retrying unchanged will not help."
    );
    let details = status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), THING);
    assert_eq!(helps(&status), ["where it is https://example.com/moved"]);
    let metadata = metadata(&status);
    assert_eq!(metadata["httpStatus"], "404");
    assert_eq!(metadata["upstreamKey"], "not_found");
    assert_eq!(metadata["attempts"], "1");
    assert_eq!(metadata["outcome"], "REJECTED");
    assert_eq!(metadata["retryable"], "false");
    assert!(!metadata.contains_key("idempotencyKey"));
}

#[test]
fn hint_without_a_page_links_to_the_page_of_the_rpc() {
    let not_found = NotFound { hint: "Look.".to_owned(), help: None };
    let options = Options { not_found: Some(not_found), ..declared().clone() };
    let context = Context { options: &options, ..list() };
    let status = translated(responded(404, "{}"), &context);
    assert!(status.message().contains(" Not Found. Look. Retrying"));
    assert_eq!(helps(&status), ["the RPC https://example.com/rpc"]);
}

#[test]
fn rpc_without_options_has_words_that_are_true_of_each() {
    let undeclared = Context { options: Options::NONE, ..list() };
    for status in [400, 401, 403, 404, 405, 413] {
        let status = translated(responded(status, "{}"), &undeclared);
        assert!(!status.message().contains("partner"), "{}", status.message());
        assert_eq!(
            helps(&status),
            ["Polytomic's API reference https://apidocs.polytomic.com/"]
        );
    }
    let forbidden = translated(responded(403, "{}"), &list());
    assert!(forbidden.message().contains("needs a partner key"));
    assert_eq!(helps(&forbidden), ["the RPC https://example.com/rpc"]);
    let unknown = translated(responded(401, "{}"), &list());
    assert!(unknown.message().contains("send a valid partner key"));
}

#[test]
fn request_id_is_a_detail_and_metadata() {
    let status = translated(Failure::Cancelled, &list());
    assert_eq!(status.get_details_request_info().unwrap().request_id, REQUEST);
    assert_eq!(status.metadata().get("x-request-id").unwrap(), REQUEST);
    assert_eq!(status.get_details_error_info().unwrap().domain, DOMAIN);
}

#[test]
fn trailers_hold_code_message_details_and_metadata() {
    let status = translated(responded_with(429, &[("retry-after", "3")], ""), &retried());
    let response = status.into_http::<tonic::body::Body>();
    let trailers = response.headers();
    assert_eq!(trailers["grpc-status"], "8");
    assert_eq!(trailers["grpc-retry-pushback-ms"], "3000");
    assert_eq!(trailers["x-request-id"], REQUEST);
    assert!(trailers.contains_key("grpc-message"));
    assert!(trailers.contains_key("grpc-status-details-bin"));
}

#[test]
fn subject_of_a_quota_is_the_fingerprint() {
    let status = translated(responded(429, "{}"), &list());
    let quota = status.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, "the client's credentials");
    let known = Context { fingerprint: Some("a1b2c3d4"), ..list() };
    let status = translated(responded(429, "{}"), &known);
    assert_eq!(
        status.get_details_quota_failure().unwrap().violations[0].subject,
        "a1b2c3d4"
    );
}

#[test]
fn rejection_names_the_owner_of_the_credentials() {
    let rejected = || Failure::Auth(Auth::Rejected { owner: CredentialOwner::Gateway });
    let held = Context { whose_credentials: CredentialOwner::Gateway, ..list() };
    for failure in [rejected, || responded(401, "{}")] {
        assert_eq!(
            reason(&translated(failure(), &list())),
            "CALLER_CREDENTIALS_REJECTED"
        );
        let status = translated(failure(), &held);
        assert_eq!(reason(&status), "GATEWAY_CREDENTIALS_REJECTED");
        assert!(status.message().contains("its operator must replace it"));
    }
    let status = translated(responded(403, "{}"), &held);
    assert!(status.message().contains("its operator must fix this"));
}

#[test]
fn all_violations_are_reported_together() {
    let violation = |field: &str, description: &str| Violation {
        field: field.to_owned(),
        description: description.to_owned(),
    };
    let failure = RequestError::Invalid(vec![
        violation("connection_id", "must be a UUID"),
        violation("metadata.idempotency-key", "must have 8 to 255 characters"),
    ]);
    let status = translated(failure.into(), &create());
    assert_eq!(
        status.message(),
        "The request is invalid: `connection_id` must be a UUID; `metadata.idempotency-key` \
         must have 8 to 255 characters. Nothing was sent to Polytomic. \
         Retrying unchanged will not help."
    );
    let fields: Vec<_> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(fields, ["connection_id", "metadata.idempotency-key"]);
}

#[test]
fn panic_is_returned_as_internal_error_only() {
    for panic in [Failure::Panic, Auth::Internal.into()] {
        let status = translated(panic, &in_doubt(Retry::SameKeyOnceFixed));
        assert_eq!(status.message(), "internal error");
        assert_eq!(metadata(&status)["outcome"], "UNKNOWN");
    }
}

#[test]
fn cause_is_kept_for_the_log_and_not_sent_to_clients() {
    let cause = "tcp connect to 10.0.0.1:443: refused";
    let context = Context { outcome: Outcome::NotSent, ..retried() };
    let status = translated(Upstream::Connect(cause.into()).into(), &context);
    assert!(!status.message().contains("10.0.0.1"));
    let failure = status.source().unwrap();
    assert_eq!(failure.source().unwrap().to_string(), cause);
    assert_eq!(
        status.message(),
        "The gateway cannot connect to Polytomic. The fault is Polytomic's, the network's or \
         in the gateway's configuration. Nothing was sent to Polytomic. Retrying is safe."
    );
}

#[test]
fn refused_stream_is_not_said_to_be_unsent() {
    let context = Context { outcome: Outcome::NotSent, ..retried() };
    let status = translated(Upstream::NotProcessed("refused".into()).into(), &context);
    assert_eq!(
        status.message(),
        "Polytomic refused the request's stream, or was ending the connection. Polytomic \
         did not process the request. Retrying is safe."
    );
}

#[test]
fn only_certain_successes_are_decoded() {
    let ways = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        (content(status, true), content(status, false))
    };
    assert_eq!(ways(200), (Content::Message, Content::Message));
    assert_eq!(ways(201), (Content::Message, Content::Message));
    assert_eq!(ways(202), (Content::Error, Content::Message));
    assert_eq!(ways(203), (Content::Message, Content::Message));
    assert_eq!(ways(204), (Content::Empty, Content::Error));
    assert_eq!(ways(205), (Content::Empty, Content::Error));
    for status in (100..200).chain(206..1000) {
        assert_eq!(ways(status), (Content::Error, Content::Error), "{status}");
    }
}

#[test]
fn reasons_are_unique_and_follow_aip_193() {
    let mut words = BTreeMap::new();
    let rows = table::HTTP.iter();
    let rows = rows.chain(local_failures().iter().map(row_of)).collect::<Vec<_>>();
    for reason in rows.into_iter().flat_map(|row| [row.read.1, row.write.1]) {
        let name = reason.as_str();
        let known = words.insert(name, reason);
        assert!(known.is_none_or(|known| known == reason), "{name}");
        assert!(name.len() <= 63);
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(
            name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.ends_with('_')
        );
    }
}

/// Each reason of the table, of a read and of a write.
fn reasons_of_rows() -> Vec<(&'static Row, bool, Reason)> {
    let rows = table::HTTP.iter();
    let local = local_failures();
    let rows = rows.chain(local.iter().map(row_of)).collect::<Vec<_>>();
    let both =
        |row: &&'static Row| [(*row, true, row.read.1), (*row, false, row.write.1)];
    rows.iter().flat_map(both).collect()
}

#[test]
fn list_of_reasons_has_each_once() {
    let mut expected: Vec<_> =
        reasons_of_rows().into_iter().map(|(.., reason)| reason.as_str()).collect();
    // In the place of another, where the key is the gateway's.
    expected.push(Reason::GATEWAY_CREDENTIALS_REJECTED.as_str());
    expected.sort_unstable();
    expected.dedup();
    let mut all: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    all.sort_unstable();
    assert_eq!(all, expected);
}

#[test]
fn list_of_retried_reasons_has_each_that_the_gateway_retries() {
    let mut expected: Vec<_> = reasons_of_rows()
        .into_iter()
        .filter(|(row, safe, _)| match row.retry {
            RetryRule::Any => true,
            RetryRule::Write | RetryRule::WriteOnce => !safe,
            RetryRule::Client | RetryRule::Never => false,
        })
        .map(|(.., reason)| reason.as_str())
        .collect();
    // With newer credentials.
    expected.push(Reason::GATEWAY_CREDENTIALS_REJECTED.as_str());
    expected.sort_unstable();
    expected.dedup();
    let mut all: Vec<_> = Reason::RETRIED.iter().map(|reason| reason.as_str()).collect();
    all.sort_unstable();
    assert_eq!(all, expected);
}
