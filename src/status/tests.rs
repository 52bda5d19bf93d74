#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, error::Error as _, time::SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

mod bodies;
mod properties;
mod rows;

const KEY: &str = "7f4df2e0-2d1b-4f6c-9c43-3f2f4f4d8a11";
const REQUEST: &str = "0198f2b4-0000-7000-8000-000000000001";
const CONNECTION: (&str, &str) =
    ("polytomic.Connection", "248df4b7-aa70-47b8-a036-33ac447e668d");

fn list() -> Context<'static> {
    Context {
        attempts: 1,
        unsent: false,
        resource: Some(CONNECTION),
        ..Context::new(REQUEST)
    }
}

fn create() -> Context<'static> {
    Context {
        safe: false,
        idempotency_key: Some(Key { value: KEY, lasts: true }),
        ..list()
    }
}

fn context(safe: bool) -> Context<'static> {
    if safe { list() } else { create() }
}

fn refused(status: u16, body: &str) -> Failure {
    refused_with(status, &[], body)
}

fn refused_with(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Failure {
    let headers = headers.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_static(value))
    });
    let headers: HeaderMap = headers.collect();
    let status = StatusCode::from_u16(status).unwrap();
    let refusal =
        ErrorResponse::at(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH);
    Failure::Refused(Box::new(refusal))
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

/// Names the details beside `ErrorInfo` and `RequestInfo`, which it requires.
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
fn a_404_says_whose_it_may_be_and_not_which_id_was_wrong() {
    let failure = refused(404, r#"{"key":"not_found","message":"connection not found"}"#);
    let status = translated(failure, &list());
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        status.message(),
        "Polytomic answered 404: connection not found. Polytomic answers so, too, when the \
         organization does not own the connection: check both ids. \
         Repeating the call unchanged will not help."
    );
    let details = status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!(
        (resource.resource_type.as_str(), resource.resource_name.as_str()),
        CONNECTION
    );
    assert_eq!(details.help().unwrap().links.len(), 1);
    let metadata = metadata(&status);
    assert_eq!(metadata["httpStatus"], "404");
    assert_eq!(metadata["upstreamKey"], "not_found");
    assert_eq!(metadata["attempts"], "1");
    assert_eq!(metadata["outcome"], "REJECTED");
    assert_eq!(metadata["retryable"], "false");
    assert!(!metadata.contains_key("idempotencyKey"));
}

#[test]
fn the_request_id_travels_as_detail_and_as_metadata() {
    let status = translated(Failure::Draining, &list());
    assert_eq!(status.get_details_request_info().unwrap().request_id, REQUEST);
    assert_eq!(status.metadata().get("x-request-id").unwrap(), REQUEST);
    assert_eq!(status.get_details_error_info().unwrap().domain, DOMAIN);
}

#[test]
fn the_trailers_hold_code_message_details_and_metadata() {
    let status = translated(refused_with(429, &[("retry-after", "3")], ""), &list());
    let response = status.into_http::<tonic::body::Body>();
    let trailers = response.headers();
    assert_eq!(trailers["grpc-status"], "8");
    assert_eq!(trailers["grpc-retry-pushback-ms"], "3000");
    assert_eq!(trailers["x-request-id"], REQUEST);
    assert!(trailers.contains_key("grpc-message"));
    assert!(trailers.contains_key("grpc-status-details-bin"));
}

#[test]
fn an_ambiguous_create_names_its_key_and_the_way_out() {
    for failure in [Failure::Reset("eof".into()), Failure::Timeout, refused(502, "")] {
        let status = translated(failure, &create());
        let metadata = metadata(&status);
        assert_eq!(metadata["outcome"], "UNKNOWN");
        assert_eq!(metadata["idempotencyKey"], KEY);
        assert_eq!(metadata["retryable"], "true");
        let advice =
            format!("repeat it with idempotency key {KEY}, or list before repeating");
        assert!(status.message().contains(&advice), "{}", status.message());
        let help = status.get_details_help().unwrap();
        assert!(help.links[0].description.contains("repeat with this idempotency key"));
        assert_eq!(pushback(&status), None);
    }
}

#[test]
fn a_recorded_500_is_not_to_be_repeated_with_the_same_key() {
    let status = translated(refused(500, r#"{"message":"boom"}"#), &create());
    assert_eq!(
        status.message(),
        format!(
            "Polytomic answered 500: boom. The fault is Polytomic's, not the caller's. \
             It is unknown whether the call took effect: list before repeating, and use a \
             new idempotency key then, since Polytomic replays this answer to {KEY}."
        )
    );
    assert!(
        status.get_details_help().unwrap().links[0].description.contains("list before")
    );
    assert_eq!(pushback(&status), Some("-1"));
}

#[test]
fn a_useless_answer_in_doubt_is_repeated_with_the_same_key_or_not_at_all() {
    for failure in
        [refused(302, ""), refused(206, ""), Failure::ResponseTooLarge { limit: 9 }]
    {
        let status = translated(failure, &create());
        let advice =
            format!("list before repeating, and then use idempotency key {KEY} again");
        assert!(status.message().contains(&advice), "{}", status.message());
        assert_eq!(metadata(&status)["retryable"], "false");
    }
}

#[test]
fn a_lost_attempt_leaves_doubt_whatever_the_last_one_says() {
    let context = Context { attempts: 2, in_doubt: true, ..create() };
    for failure in
        [Failure::ConnectFailed("refused".into()), refused(403, ""), Failure::Draining]
    {
        let status = translated(failure, &context);
        assert_eq!(metadata(&status)["outcome"], "UNKNOWN");
        assert!(status.message().contains(KEY), "{}", status.message());
        assert!(!status.message().contains("replays"), "{}", status.message());
    }
}

#[test]
fn a_create_in_doubt_is_not_to_be_repeated_with_another_key() {
    let lost = || Failure::Reset("gone".into());
    assert_eq!(pushback(&translated(lost(), &create())), None);
    let key = Key { value: KEY, lasts: false };
    let context = Context { idempotency_key: Some(key), ..create() };
    let status = translated(lost(), &context);
    assert_eq!(pushback(&status), Some("-1"));
    assert_eq!(metadata(&status)["retryable"], "false");
    let advice = format!("repeat it with idempotency key {KEY}");
    assert!(status.message().contains(&advice), "{}", status.message());
    let unsent = translated(Failure::ConnectFailed("refused".into()), &context);
    assert_eq!(metadata(&unsent)["retryable"], "true");
}

#[test]
fn time_that_ran_out_before_anything_was_sent_leaves_no_doubt() {
    for failure in [|| Failure::DeadlineExceeded, || Failure::Timeout] {
        let outcome = |context: Context<'_>| {
            metadata(&translated(failure(), &context))["outcome"].clone()
        };
        let unsent = Context { unsent: true, ..create() };
        assert_eq!(outcome(unsent), "NOT_SENT");
        assert_eq!(outcome(Context { in_doubt: true, ..unsent }), "UNKNOWN");
        assert_eq!(outcome(create()), "UNKNOWN");
    }
}

#[test]
fn a_wait_is_told_as_stated_and_pushed_back_with_spread() {
    let limited = || refused_with(429, &[("retry-after", "7")], "{}");
    let status = translate::status(limited(), &list(), 1_400);
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(7))
    );
    assert_eq!(pushback(&status), Some("8400"));
    assert!(status.message().ends_with("Repeating the call after 7 s is safe."));

    let status = translate::status(limited(), &list(), 1_401);
    assert_eq!(pushback(&status), Some("7000"));

    let shed = Failure::Overloaded { retry_after: Duration::from_secs(600) };
    let status = translated(shed, &list());
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(60))
    );
    assert_eq!(pushback(&status), Some("60000"));
}

#[test]
fn an_overload_without_a_stated_wait_gets_one() {
    for status in [429, 503, 509, 529] {
        let status = translated(refused(status, ""), &list());
        let wait = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(wait, Some(Duration::from_secs(1)));
    }
    let hinted = translated(refused_with(502, &[("retry-after-ms", "250")], ""), &list());
    assert_eq!(pushback(&hinted), Some("250"));
    let useless = translated(refused_with(403, &[("retry-after", "5")], ""), &list());
    assert!(useless.get_details_retry_info().is_none());
    assert_eq!(pushback(&useless), Some("-1"));
}

#[test]
fn the_quota_is_the_credentials() {
    let status = translated(refused(429, ""), &list());
    let quota = status.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, "the caller's credentials");
    let known = Context { fingerprint: Some("a1b2c3d4"), ..list() };
    let status = translated(refused(429, ""), &known);
    assert_eq!(
        status.get_details_quota_failure().unwrap().violations[0].subject,
        "a1b2c3d4"
    );
}

#[test]
fn a_rejection_says_whose_credentials() {
    let held = Context { whose_credentials: CredentialOwner::Gateway, ..list() };
    for failure in [|| Failure::CredentialsRejected, || refused(401, "")] {
        assert_eq!(
            reason(&translated(failure(), &list())),
            "CALLER_CREDENTIALS_REJECTED"
        );
        let status = translated(failure(), &held);
        assert_eq!(reason(&status), "GATEWAY_CREDENTIALS_REJECTED");
        assert!(status.message().contains("its operator must replace them"));
    }
    let user = Failure::NotPartnerKey { class: "user".to_owned() };
    let status = translated(user, &held);
    assert!(status.message().starts_with(
        "A partner key is needed, and this is a key of class `user`. \
         Polytomic serves this call to partner keys only. The credentials are the gateway's"
    ));
}

#[test]
fn all_violations_are_told_at_once() {
    let violation = |field: &str, description: &str| Violation {
        field: field.to_owned(),
        description: description.to_owned(),
    };
    let failure = Failure::InvalidFields(vec![
        violation("connection_id", "must be a UUID"),
        violation("metadata.idempotency-key", "must have 8 to 255 characters"),
    ]);
    let status = translated(failure, &create());
    assert_eq!(
        status.message(),
        "The request is invalid: `connection_id` must be a UUID; `metadata.idempotency-key` \
         must have 8 to 255 characters. Nothing was sent to Polytomic. \
         Repeating the call unchanged will not help."
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
fn a_panic_tells_nothing_but_is_never_called_harmless() {
    let status = translated(Failure::Panic, &Context { attempts: 0, ..create() });
    assert_eq!(status.message(), "internal error");
    assert_eq!(metadata(&status)["outcome"], "UNKNOWN");
}

#[test]
fn the_cause_is_kept_for_the_log_and_told_to_nobody() {
    let cause = "tcp connect to 10.0.0.1:443: refused";
    let status = translated(Failure::ConnectFailed(cause.into()), &list());
    assert!(!status.message().contains("10.0.0.1"));
    let failure = status.source().unwrap();
    assert_eq!(failure.source().unwrap().to_string(), cause);
    assert_eq!(
        status.message(),
        "Polytomic cannot be reached. The fault is Polytomic's, the network's or in the \
         gateway's configuration. Nothing was sent to Polytomic. Repeating the call is safe."
    );
}

#[test]
fn a_success_is_decoded_only_where_it_can_be_one() {
    let ways = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        (answer(status, true), answer(status, false))
    };
    assert_eq!(ways(200), (Answer::Decode, Answer::Decode));
    assert_eq!(ways(201), (Answer::Decode, Answer::Decode));
    assert_eq!(ways(202), (Answer::Refused, Answer::Decode));
    assert_eq!(ways(203), (Answer::Decode, Answer::Decode));
    assert_eq!(ways(204), (Answer::Empty, Answer::Refused));
    assert_eq!(ways(205), (Answer::Empty, Answer::Refused));
    for status in (100..200).chain(206..1000) {
        assert_eq!(ways(status), (Answer::Refused, Answer::Refused), "{status}");
    }
}

#[test]
fn reasons_are_unique_and_follow_aip_193() {
    let names: std::collections::HashSet<_> =
        Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for name in names {
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

#[test]
fn the_documented_tables_are_the_gateways() {
    let page = include_str!("../../docs/STATUSES.md");
    let (_, rest) = page.split_once("<!-- statuses -->\n").unwrap();
    let (documented, _) = rest.split_once("<!-- /statuses -->").unwrap();
    let printed = table_markdown();
    assert!(documented == printed, "docs/STATUSES.md should hold:\n{printed}");
}
