//! The specification, row by row, written down apart from the tables.

use super::*;

type Expected =
    (&'static [u16], i32, i32, bool, bool, &'static str, &'static [&'static str]);

/// Statuses; code of a list, of a create; may the gateway repeat a list, a create;
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
    (&[400, 422],                        3,  3, false, false, "UPSTREAM_INVALID_REQUEST", &["Help"]),
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
    (&[413],                             3,  3, false, false, "UPSTREAM_INVALID_REQUEST", &["Help"]),
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
            let failure = refused(number, "");
            assert_eq!(failure.is_retryable(true), *list_again, "{number}");
            assert_eq!(failure.is_retryable(false), *create_again, "{number}");
            let status = translated(failure, &list());
            assert_eq!(status.code(), Code::from_i32(*list_code), "{number}");
            assert_eq!(reason(&status), *name, "{number}");
            assert_eq!(extra_details(&status.get_error_details()), *details, "{number}");
            assert_eq!(metadata(&status)["httpStatus"], number.to_string());
            let status = translated(refused(number, ""), &create());
            assert_eq!(status.code(), Code::from_i32(*create_code), "{number}");
        }
    }
}

#[test]
fn a_create_in_doubt_always_carries_help() {
    for number in 100..1000 {
        let status = translated(refused(number, ""), &create());
        if metadata(&status)["outcome"] == "UNKNOWN" {
            assert!(status.get_details_help().is_some(), "{number}");
            assert!(status.message().contains("list before repeating"), "{number}");
        }
    }
}

#[test]
fn a_success_that_does_not_say_what_was_made_is_an_unknown_outcome() {
    for number in [200, 201, 202, 203, 204, 205] {
        let failure = refused(number, "");
        assert_eq!(failure.reason(&create()), Reason::OutcomeUnknown, "{number}");
        assert_eq!(failure.outcome(false), Outcome::Unknown, "{number}");
        assert_eq!(failure.outcome(true), Outcome::Completed, "{number}");
        assert_eq!(failure.is_retryable_once(false), number == 200, "{number}");
    }
}

#[test]
fn only_a_create_can_be_too_long_in_its_name() {
    let status = translated(refused(413, ""), &create());
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "name");
}

struct Local {
    failure: Failure,
    codes: (i32, i32),
    /// What the gateway may repeat: a list, a create.
    again: (bool, bool),
    reason: &'static str,
    outcomes: (&'static str, &'static str),
    details: &'static [&'static str],
    pushback: Option<&'static str>,
}

#[rustfmt::skip]
fn locals() -> Vec<Local> {
    let row = |failure, codes, again, reason, outcomes, details, pushback| Local { failure, codes, again, reason, outcomes, details, pushback };
    let wait = Duration::from_secs(2);
    let field = Violation { field: "org_id".to_owned(), description: "must be a UUID".to_owned() };
    let never = (false, false);
    let unsent = ("NOT_SENT", "NOT_SENT");
    let unknown = ("UNKNOWN", "UNKNOWN");
    let no = Some("-1");
    vec![
        row(Failure::CredentialsMissing,                              (16, 16), never, "CREDENTIALS_MISSING", unsent, &[], no),
        row(Failure::CredentialsMalformed("it is blank"),             (16, 16), never, "CREDENTIALS_MALFORMED", unsent, &[], no),
        row(Failure::CredentialsRejected,                             (16, 16), never, "CALLER_CREDENTIALS_REJECTED", unsent, &[], no),
        row(Failure::CallerTokenRejected,                             (16, 16), never, "CALLER_TOKEN_REJECTED", unsent, &[], no),
        row(Failure::NotPartnerKey { class: "user".to_owned() },      (7, 7),   never, "PARTNER_KEY_REQUIRED", unsent, &[], no),
        row(Failure::InvalidFields(vec![field]),                      (3, 3),   never, "INVALID_FIELD", unsent, &["BadRequest"], no),
        row(Failure::InvalidMessage("tag 0".to_owned()),              (3, 3),   never, "INVALID_MESSAGE", unsent, &[], no),
        row(Failure::RequestTooLarge { limit: 1024 },                 (8, 8),   never, "REQUEST_TOO_LARGE", unsent, &[], no),
        row(Failure::CompressionUnsupported,                          (12, 12), never, "COMPRESSION_UNSUPPORTED", unsent, &[], no),
        row(Failure::UnknownRpc,                                      (12, 12), never, "UNKNOWN_RPC", unsent, &[], no),
        row(Failure::DeadlineExceeded,                                (4, 4),   never, "DEADLINE_EXCEEDED", unknown, &[], None),
        row(Failure::Cancelled,                                       (1, 1),   never, "CANCELLED", unknown, &[], None),
        row(Failure::CredentialsUnavailable("partner key"),           (14, 14), never, "GATEWAY_CREDENTIALS_UNAVAILABLE", unsent, &[], None),
        row(Failure::Overloaded { retry_after: wait },                (8, 8),   never, "GATEWAY_OVERLOADED", unsent, &["RetryInfo"], Some("2000")),
        row(Failure::RateLimited { retry_after: wait },               (8, 8),   never, "RATE_LIMITED", unsent, &["RetryInfo"], Some("2000")),
        row(Failure::CircuitOpen { retry_after: wait },               (14, 14), never, "CIRCUIT_OPEN", unsent, &["RetryInfo"], Some("2000")),
        row(Failure::Draining,                                        (14, 14), never, "DRAINING", unsent, &[], None),
        row(Failure::Panic,                                           (13, 13), never, "GATEWAY_PANIC", unknown, &[], no),
        row(Failure::BadResponse("`data` is missing".to_owned()),     (13, 2),  (false, true), "UPSTREAM_BAD_RESPONSE", ("COMPLETED", "UNKNOWN"), &[], no),
        row(Failure::ResponseTooLarge { limit: 1024 },                (8, 8),   never, "UPSTREAM_RESPONSE_TOO_LARGE", ("COMPLETED", "UNKNOWN"), &[], no),
        row(Failure::NoRoom,                                          (8, 8),   never, "GATEWAY_OVERLOADED", ("COMPLETED", "UNKNOWN"), &["RetryInfo"], Some("1000")),
        row(Failure::ConnectFailed("refused".into()),                 (14, 14), (true, true), "UPSTREAM_CONNECT_FAILED", unsent, &[], None),
        row(Failure::Reset("eof".into()),                             (14, 14), (true, true), "UPSTREAM_RESET", unknown, &[], None),
        row(Failure::Timeout,                                         (4, 4),   (true, true), "UPSTREAM_TIMEOUT", unknown, &[], None),
    ]
}

#[test]
fn every_local_outcome_of_the_specification_has_its_row() {
    assert_eq!(locals().len(), local::ALL.len());
    for row in locals() {
        let name = row.reason;
        assert_eq!(row.failure.is_retryable(true), row.again.0, "{name}");
        assert_eq!(row.failure.is_retryable(false), row.again.1, "{name}");
        assert_eq!(row.failure.code(false), Code::from_i32(row.codes.1), "{name}");
        assert_eq!(row.failure.outcome(true).as_str(), row.outcomes.0, "{name}");
        assert_eq!(row.failure.outcome(false).as_str(), row.outcomes.1, "{name}");
        let status = translated(row.failure, &list());
        assert_eq!(status.code(), Code::from_i32(row.codes.0), "{name}");
        assert_eq!(reason(&status), name);
        assert_eq!(extra_details(&status.get_error_details()), row.details, "{name}");
        assert_eq!(pushback(&status), row.pushback, "{name}");
    }
}
