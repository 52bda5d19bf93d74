//! The specification, row by row, written independently of the tables.

use super::*;
use crate::{auth::Class, budget::Exhausted, grpc::Error as Grpc};

type Expected =
    (&'static [u16], i32, i32, bool, bool, &'static str, &'static [&'static str]);

/// Statuses; code of a list, of a create; may the gateway retry a list, a create;
/// reason of a list; details of a list whose error body says nothing.
#[rustfmt::skip]
const HTTP: &[Expected] = &[
    (&[101],                            13, 13, false, false, "UPSTREAM_PROTOCOL_ERROR", &[]),
    (&[100, 102, 103, 150, 199],        13, 13, true,  true,  "UPSTREAM_PROTOCOL_ERROR", &[]),
    (&[200],                            13,  2, false, true,  "UPSTREAM_BAD_RESPONSE", &[]),
    (&[201, 202, 203, 204, 205],        13,  2, false, false, "UPSTREAM_BAD_RESPONSE", &[]),
    (&[206, 207, 208, 226, 210, 299],   13, 13, false, false, "UPSTREAM_UNEXPECTED_STATUS", &[]),
    (&[300, 301, 302, 303, 307, 308, 399], 13, 13, false, false, "UPSTREAM_REDIRECT", &[]),
    (&[304],                            13, 13, false, false, "UPSTREAM_UNEXPECTED_STATUS", &[]),
    (&[400, 413, 422],                   3,  3, false, false, "UPSTREAM_INVALID_REQUEST", &["Help"]),
    (&[401],                            16, 16, false, false, "CALLER_CREDENTIALS_REJECTED", &["Help"]),
    (&[402],                             9,  9, false, false, "UPSTREAM_PAYMENT_REQUIRED", &[]),
    (&[403],                             7,  7, false, false, "UPSTREAM_FORBIDDEN", &["Help"]),
    (&[404, 410],                        5,  5, false, false, "UPSTREAM_NOT_FOUND", &["ResourceInfo", "Help"]),
    (&[405],                            12, 12, false, false, "UPSTREAM_UNIMPLEMENTED", &["Help"]),
    (&[406, 411, 414, 415, 417, 431],   13, 13, false, false, "GATEWAY_REQUEST_REFUSED", &[]),
    (&[407],                            13, 13, false, false, "EGRESS_PROXY_AUTH", &[]),
    (&[408],                             4,  4, true,  true,  "UPSTREAM_TIMEOUT", &[]),
    (&[409],                            10, 10, false, true,  "UPSTREAM_CONFLICT", &["ResourceInfo", "Help"]),
    (&[412, 423, 424, 428],              9,  9, false, false, "UPSTREAM_PRECONDITION_FAILED", &["PreconditionFailure"]),
    (&[416],                            11, 11, false, false, "UPSTREAM_UNEXPECTED_STATUS", &[]),
    (&[418, 419, 430, 440, 449, 450],    9,  9, false, false, "UPSTREAM_REFUSED", &[]),
    (&[420],                             8,  8, false, false, "UPSTREAM_RATE_LIMITED", &["QuotaFailure"]),
    (&[421, 425],                       14, 14, true,  true,  "UPSTREAM_NOT_PROCESSED", &[]),
    (&[426],                             9,  9, false, false, "UPSTREAM_UPGRADE_REQUIRED", &["Help"]),
    (&[429],                             8,  8, true,  true,  "UPSTREAM_RATE_LIMITED", &["RetryInfo", "QuotaFailure"]),
    (&[444, 460],                       14, 14, true,  true,  "UPSTREAM_RESET", &[]),
    (&[463, 464, 494, 495, 496, 497, 498], 13, 13, true, true, "GATEWAY_REQUEST_REFUSED", &[]),
    (&[451],                             7,  7, false, false, "UPSTREAM_REFUSED", &[]),
    (&[499],                             2,  2, true,  true,  "UPSTREAM_RESET", &[]),
    (&[427, 432, 445, 470, 493],         9,  9, false, false, "UPSTREAM_REFUSED", &[]),
    (&[500],                            13, 13, false, false, "UPSTREAM_ERROR", &[]),
    (&[501],                            12, 12, false, false, "UPSTREAM_UNIMPLEMENTED", &["Help"]),
    (&[502],                            14, 14, true,  true,  "UPSTREAM_UNAVAILABLE", &[]),
    (&[503],                            14, 14, true,  true,  "UPSTREAM_UNAVAILABLE", &["RetryInfo"]),
    (&[504],                             4,  4, true,  true,  "UPSTREAM_TIMEOUT", &[]),
    (&[505, 506, 508, 510],             13, 13, false, false, "UPSTREAM_ERROR", &[]),
    (&[507],                             8,  8, false, false, "UPSTREAM_EXHAUSTED", &[]),
    (&[509, 529],                       14, 14, true,  true,  "UPSTREAM_OVERLOADED", &["RetryInfo"]),
    (&[511],                            13, 13, false, false, "EGRESS_PROXY_AUTH", &[]),
    (&[520],                             2,  2, true,  true,  "UPSTREAM_ERROR", &[]),
    (&[521, 523, 525, 526, 527, 530],   14, 14, true,  true,  "UPSTREAM_UNAVAILABLE", &[]),
    (&[522, 524, 598, 599],              4,  4, true,  true,  "UPSTREAM_TIMEOUT", &[]),
    (&[561],                            16, 16, false, false, "UPSTREAM_PROXY_AUTH", &[]),
    (&[512, 528, 531, 560, 597],        13, 13, false, false, "UPSTREAM_ERROR", &[]),
    (&[600, 777, 999],                   2,  2, false, false, "UPSTREAM_UNEXPECTED_STATUS", &[]),
];

#[test]
fn every_http_status_of_the_specification_has_its_row() {
    for (statuses, list_code, create_code, list_again, create_again, name, details) in
        HTTP
    {
        for &number in *statuses {
            let failure = responded(number, "{}");
            assert_eq!(failure.is_retryable(true), *list_again, "{number}");
            assert_eq!(failure.is_retryable(false), *create_again, "{number}");
            let status = translated_list(failure);
            assert_eq!(status.code(), Code::from_i32(*list_code), "{number}");
            assert_eq!(reason(&status), *name, "{number}");
            assert_eq!(extra_details(&status.get_error_details()), *details, "{number}");
            assert_eq!(metadata(&status)["httpStatus"], number.to_string());
            let status = translated(responded(number, "{}"), &create());
            assert_eq!(status.code(), Code::from_i32(*create_code), "{number}");
        }
    }
}

#[test]
fn help_for_an_unknown_outcome_names_the_key_only_if_there_is_one() {
    let with_key = in_doubt(Retry::SameKeyOnceFixed);
    let without = Context { idempotency_key: None, ..with_key };
    for (context, names_it) in [(with_key, true), (without, false)] {
        let help = helps(&translated(responded(500, "{}"), &context));
        assert!(help[0].starts_with("the outcome is unknown"), "{help:?}");
        assert_eq!(help[0].contains("this idempotency key"), names_it, "{help:?}");
    }
}

#[test]
fn create_with_an_unknown_outcome_has_help() {
    for number in 100..1000 {
        let status =
            translated(responded(number, "{}"), &in_doubt(Retry::SameKeyOnceFixed));
        assert!(status.get_details_help().is_some(), "{number}");
        assert!(status.message().contains("once the cause is fixed"), "{number}");
    }
}

#[test]
fn success_that_does_not_identify_the_resource_is_an_unknown_outcome() {
    for number in [200, 201, 202, 203, 204, 205] {
        let failure = responded(number, "{}");
        let reason = failure.reason(false, CredentialOwner::Caller);
        assert_eq!(reason, Reason::OUTCOME_UNKNOWN, "{number}");
        assert_eq!(failure.is_retryable_once(false), number == 200, "{number}");
    }
}

pub(super) struct Local {
    pub(super) failure: Failure,
    codes: (i32, i32),
    /// What the gateway may retry: a list, a create.
    again: (bool, bool),
    reason: &'static str,
    details: &'static [&'static str],
    pushback: Option<&'static str>,
}

#[rustfmt::skip]
pub(super) fn local() -> Vec<Local> {
    let row = |failure, codes, again, reason, details, pushback| Local { failure, codes, again, reason, details, pushback };
    let wait = Duration::from_secs(2);
    let field = Violation { field: "org_id".to_owned(), description: "must be a UUID".to_owned() };
    let owner = CredentialOwner::Caller;
    let never = (false, false);
    let no = Some("-1");
    let too_large = Exhausted::TooLarge { largest: 1024 };
    vec![
        row(Auth::Missing.into(),                                   (16, 16), never, "CREDENTIALS_MISSING", &[], no),
        row(Auth::Malformed("it is blank").into(),                  (16, 16), never, "CREDENTIALS_MALFORMED", &[], no),
        row(Auth::Rejected { owner }.into(),                       (16, 16), never, "CALLER_CREDENTIALS_REJECTED", &[], no),
        row(Auth::CallerToken.into(),                               (16, 16), never, "CALLER_TOKEN_REJECTED", &[], no),
        row(Auth::NoIdentity.into(),                                (16, 16), never, "CLIENT_CERTIFICATE_REQUIRED", &[], no),
        row(Auth::NotPartner { class: Class::User, owner }.into(),     (7, 7),   never, "PARTNER_KEY_REQUIRED", &[], no),
        row(RequestError::Invalid(vec![field]).into(),              (3, 3),   never, "INVALID_FIELD", &["BadRequest"], no),
        row(RequestError::Malformed("tag 0".to_owned()).into(),     (3, 3),   never, "INVALID_MESSAGE", &[], no),
        row(Grpc::TooLarge { limit: 1024 }.into(),                  (8, 8),   never, "REQUEST_TOO_LARGE", &[], no),
        row(Grpc::Compressed.into(),                                (12, 12), never, "COMPRESSION_UNSUPPORTED", &[], no),
        row(Grpc::CompressionUndeclared.into(),                     (13, 13), never, "COMPRESSION_UNDECLARED", &[], no),
        row(Grpc::UnknownRpc.into(),                                (12, 12), never, "UNKNOWN_RPC", &[], no),
        row(Failure::DeadlineExceeded,                              (4, 4),   never, "DEADLINE_EXCEEDED", &[], None),
        row(Failure::StreamLimit,                                   (4, 4),   never, "STREAM_TIME_LIMIT", &[], None),
        row(Failure::Cancelled,                                     (1, 1),   never, "CANCELLED", &[], None),
        row(Failure::ConnectionEnded,                               (14, 14), never, "CONNECTION_ENDED", &[], None),
        row(Auth::Unavailable("partner key").into(),                (14, 14), never, "GATEWAY_CREDENTIALS_UNAVAILABLE", &[], None),
        row(Exhausted::InFlight.into(),                                       (8, 8),   never, "GATEWAY_OVERLOADED", &["RetryInfo"], Some("1000")),
        row(Upstream::CircuitOpen { circuit: Circuit::All, retry_after: wait }.into(),     (14, 14), never, "CIRCUIT_OPEN", &["RetryInfo"], Some("2000")),
        row(Failure::Panic,                                         (13, 13), never, "GATEWAY_PANIC", &[], no),
        row(Upstream::Malformed("it is not HTTP").into(),           (13, 2),  (false, true), "UPSTREAM_BAD_RESPONSE", &[], no),
        row(Upstream::TooLarge { limit: 1024 }.into(),              (8, 8),   never, "UPSTREAM_RESPONSE_TOO_LARGE", &[], no),
        row(Upstream::NoMemory(too_large).into(),                   (8, 8),   never, "UPSTREAM_RESPONSE_EXCEEDS_MEMORY", &[], no),
        row(too_large.into(),                                       (8, 8),   never, "UPSTREAM_RESPONSE_EXCEEDS_MEMORY", &[], no),
        row(Upstream::NoMemory(Exhausted::ResponseMemory).into(),                              (8, 8),   never, "GATEWAY_OVERLOADED", &["RetryInfo"], Some("1000")),
        row(Upstream::Connect("refused".into()).into(),             (14, 14), (true, true), "UPSTREAM_CONNECT_FAILED", &[], None),
        row(Upstream::NotProcessed("refused".into()).into(),        (14, 14), (true, true), "UPSTREAM_NOT_PROCESSED", &[], None),
        row(Upstream::NoStream.into(),                              (14, 14), never, "UPSTREAM_BUSY", &["RetryInfo"], Some("1000")),
        row(Upstream::Reset("eof".into()).into(),                   (14, 14), (true, true), "UPSTREAM_RESET", &[], None),
        row(Upstream::Timeout.into(),                               (4, 4),   (true, true), "UPSTREAM_TIMEOUT", &[], None),
        row(responded(404, "<html>nginx</html>"),                   (13, 13), never, "UPSTREAM_FOREIGN_ERROR", &[], no),
    ]
}

/// Translates the failure of a list that may be retried if that may end better.
fn translated_list(failure: Failure) -> Status {
    let retry = if failure.may_end_better(true) { Retry::Safe } else { Retry::Never };
    translated(failure, &Context { retry, ..list() })
}

#[test]
fn every_local_failure_of_the_specification_has_its_row() {
    for row in local() {
        let name = row.reason;
        assert_eq!(row.failure.is_retryable(true), row.again.0, "{name}");
        assert_eq!(row.failure.is_retryable(false), row.again.1, "{name}");
        assert_eq!(row.failure.code(false), Code::from_i32(row.codes.1), "{name}");
        let status = translated_list(row.failure);
        assert_eq!(status.code(), Code::from_i32(row.codes.0), "{name}");
        assert_eq!(reason(&status), name);
        assert_eq!(extra_details(&status.get_error_details()), row.details, "{name}");
        assert_eq!(pushback(&status), row.pushback, "{name}");
    }
}

#[test]
fn error_in_another_format_is_no_verdict_on_ids_fields_or_keys() {
    let own = ["{}", r#"{"key":"k"}"#, r#"{"message":"m"}"#, r#"{"error":"e"}"#];
    let foreign = [
        "",
        "<html><center>nginx</center></html>",
        "RBAC: access denied",
        "[]",
        r#""forbidden""#,
        r#"{"blocked":true,"ray":"7"}"#,
        r#"{"status":"blocked"}"#,
    ];
    let is_foreign = |status, body: &str| {
        let reason = responded(status, body).reason(true, CredentialOwner::Caller);
        reason == Reason::UPSTREAM_FOREIGN_ERROR
    };
    for status in
        [400, 401, 402, 403, 404, 405, 410, 412, 413, 422, 423, 424, 426, 428, 451]
    {
        for body in own {
            assert!(!is_foreign(status, body), "{status} {body}");
        }
        let repeated = format!(r#"{{"status":{status}}}"#);
        assert!(!is_foreign(status, &repeated), "{repeated}");
        for body in foreign {
            assert!(is_foreign(status, body), "{status} {body}");
            for context in [list(), create()] {
                let status = translated(responded(status, body), &context);
                assert_eq!(status.code(), Code::Internal);
                assert_eq!(extra_details(&status.get_error_details()), [""; 0]);
            }
        }
    }
    // These mean the same from Polytomic and from a proxy.
    for status in [200, 302, 408, 409, 429, 500, 502, 503, 504] {
        assert!(foreign.iter().all(|body| !is_foreign(status, body)), "{status}");
    }
}
