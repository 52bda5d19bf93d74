//! The gRPC code, reason and details of each HTTP status of Polytomic.

use std::net::SocketAddr;

use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::{ID, Reply},
    fake::{Response, Seen},
    over_both,
};
use tonic::Code;

/// The statuses that Polytomic documents for the two endpoints (403, 404, 422, 500),
/// and those that any REST API or proxy may return.
const ROWS: [(u16, Code, &str); 19] = [
    (400, Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST"),
    (401, Code::Unauthenticated, "CALLER_CREDENTIALS_REJECTED"),
    (402, Code::FailedPrecondition, "UPSTREAM_PAYMENT_REQUIRED"),
    (403, Code::PermissionDenied, "UPSTREAM_FORBIDDEN"),
    (404, Code::NotFound, "UPSTREAM_NOT_FOUND"),
    (405, Code::Unimplemented, "UPSTREAM_UNIMPLEMENTED"),
    (408, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT"),
    (409, Code::Aborted, "UPSTREAM_CONFLICT"),
    (410, Code::NotFound, "UPSTREAM_NOT_FOUND"),
    (412, Code::FailedPrecondition, "UPSTREAM_PRECONDITION_FAILED"),
    (418, Code::FailedPrecondition, "UPSTREAM_REFUSED"),
    (422, Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST"),
    (429, Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED"),
    (451, Code::PermissionDenied, "UPSTREAM_REFUSED"),
    (500, Code::Internal, "UPSTREAM_ERROR"),
    (501, Code::Unimplemented, "UPSTREAM_UNIMPLEMENTED"),
    (502, Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
    (503, Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
    (504, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT"),
];

async fn exchange(
    protocol: Protocol,
    caller: fn(SocketAddr) -> Caller,
    response: Response,
) -> (Seen, Reply) {
    let fake = Fake::responding(protocol, [response]).await;
    let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
    let reply = caller(gateway.address).send().await;
    (fake.seen().remove(0), reply)
}

fn rejection(status: u16, message: &str) -> Response {
    let body = format!(
        r#"{{"key":"some_key","message":"{message}","metadata":{{}},"status":{status}}}"#
    );
    Response::json(status, &body)
}

#[tokio::test]
async fn each_status_has_its_code_and_reason() {
    over_both(async |protocol| {
        let path = format!("/api/organizations/{ID}/connections/{ID}/shared");
        for (status, code, reason) in ROWS {
            for (caller, method) in
                [(Caller::list as fn(_) -> _, "GET"), (Caller::create, "POST")]
            {
                let (seen, reply) =
                    exchange(protocol, caller, rejection(status, "in Polytomic's words"))
                        .await;
                assert_eq!(seen.line, format!("{method} {path} {protocol}"));

                let case = format!("{method} {status}: {}", reply.message());
                assert_eq!(reply.code(), code, "{case}");
                assert_eq!(reply.reason(), reason, "{case}");
                assert!(reply.message().contains("in Polytomic's words"), "{case}");
                assert_eq!(
                    reply.error_metadata("httpStatus"),
                    Some(status.to_string()),
                    "{case}"
                );
                assert_eq!(
                    reply.error_metadata("upstreamKey").as_deref(),
                    Some("some_key"),
                    "{case}"
                );
                let id = reply.details().request_info().unwrap().request_id.clone();
                assert_eq!(reply.headers["x-request-id"], id, "{case}");
                let key = reply.error_metadata("idempotencyKey");
                assert_eq!(key.as_deref(), seen.header("idempotency-key"), "{case}");
                assert!(reply.trailer_size() <= 8192, "{case}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn not_found_explains_the_other_cause() {
    over_both(async |protocol| {
        let (_, reply) =
            exchange(protocol, Caller::list, rejection(404, "not found")).await;
        assert!(reply.message().contains("own"), "{}", reply.message());
        let details = reply.details();
        let resource = details.resource_info().unwrap();
        assert_eq!(resource.resource_type, "polytomic.Connection");
        assert_eq!(resource.resource_name, ID);
    })
    .await;
}

#[tokio::test]
async fn rejection_links_to_the_page_of_its_endpoint() {
    over_both(async |protocol| {
        for (caller, page) in [
            (Caller::list as fn(_) -> _, "list-shared-connections-for-partner"),
            (Caller::create, "create-shared-connection"),
        ] {
            let (_, reply) = exchange(protocol, caller, rejection(403, "no")).await;
            let details = reply.details();
            let link = &details.help().unwrap().links[0].url;
            assert!(link.ends_with(page), "{link}");
        }
    })
    .await;
}

#[tokio::test]
async fn rate_limit_returns_the_retry_delay() {
    over_both(async |protocol| {
        let headers = [("content-type", "application/json"), ("retry-after", "7")];
        let (_, reply) =
            exchange(protocol, Caller::list, Response::new(429, &headers, b"{}")).await;
        assert_eq!(reply.code(), Code::ResourceExhausted);
        let details = reply.details();
        let delay = details.retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(delay.as_secs(), 7);
        let pushback: u128 =
            reply.headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
        // With jitter, since clients obey it to the millisecond.
        assert!((7000..=8400).contains(&pushback), "{pushback}");
        assert!(details.quota_failure().is_some());
    })
    .await;
}

#[tokio::test]
async fn html_page_is_not_copied_into_the_message() {
    over_both(async |protocol| {
        let page = format!("<html>{}</html>", "Bad Gateway ".repeat(100_000));
        let response =
            Response::new(502, &[("content-type", "text/html")], page.as_bytes());
        let (_, reply) = exchange(protocol, Caller::list, response).await;
        assert_eq!(reply.code(), Code::Unavailable);
        assert!(!reply.message().contains("<html>"), "{}", reply.message());
        assert!(reply.trailer_size() <= 8192);
    })
    .await;
}

#[tokio::test]
async fn error_of_a_proxy_is_no_verdict_of_polytomic() {
    over_both(async |protocol| {
        let html = [("content-type", "text/html")];
        let page = b"<html><center><h1>404 Not Found</h1></center>nginx</html>";
        for status in [400, 401, 403, 404, 406, 414, 418, 422] {
            for response in [
                Response::new(status, &html, page),
                Response::new(status, &[], b""),
                Response::new(status, &[], b"RBAC: access denied"),
                Response::json(status, r#"{"blocked":true,"ray":"8f2"}"#),
            ] {
                for caller in [Caller::list as fn(_) -> _, Caller::create] {
                    let (_, reply) = exchange(protocol, caller, response.clone()).await;
                    let case = format!("{response:?}: {}", reply.message());
                    assert_eq!(reply.code(), Code::Internal, "{case}");
                    assert_eq!(reply.reason(), "UPSTREAM_FOREIGN_ERROR", "{case}");
                    assert!(reply.message().contains("a proxy may"), "{case}");
                    assert_eq!(
                        reply.error_metadata("outcome").as_deref(),
                        Some("REJECTED"),
                        "{case}"
                    );
                    let details = reply.details();
                    assert!(details.resource_info().is_none(), "{case}");
                    assert!(details.bad_request().is_none(), "{case}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn proxy_that_rejects_for_now_says_nothing_of_quotas_and_resources() {
    over_both(async |protocol| {
        let cases = [(429, "UPSTREAM_RATE_LIMITED"), (409, "UPSTREAM_CONFLICT")];
        for (status, reason) in cases {
            for (body, is_polytomics) in [("slow down", false), ("", false), ("{}", true)]
            {
                let response = Response::new(status, &[], body.as_bytes());
                let (_, reply) = exchange(protocol, Caller::create, response).await;
                let case = format!("{status} {body:?}: {}", reply.message());
                assert_eq!(reply.reason(), reason, "{case}");
                let details = reply.details();
                let is_claimed = details.quota_failure().is_some()
                    || details.resource_info().is_some();
                assert_eq!(is_claimed, is_polytomics, "{case}");
                assert!(!reply.message().contains("credentials"), "{case}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn texts_of_problem_json_are_read() {
    over_both(async |protocol| {
        let problem = [("content-type", "application/problem+json")];
        for (body, text) in [
            (
                r#"{"type":"about:blank","detail":"the name is taken"}"#,
                "the name is taken",
            ),
            (r#"{"title":"Bad","errors":[{"message":"one"},"two"]}"#, "one; two"),
        ] {
            let response = Response::new(422, &problem, body.as_bytes());
            let (_, reply) = exchange(protocol, Caller::create, response).await;
            assert_eq!(reply.code(), Code::InvalidArgument, "{}", reply.message());
            assert!(reply.message().contains(text), "{}", reply.message());
        }
    })
    .await;
}

#[tokio::test]
async fn stated_wait_is_returned_as_stated() {
    over_both(async |protocol| {
        let cases: [(&[(&str, &str)], u128); 5] = [
            (&[("retry-after", "3600")], 3_600_000),
            (&[("retry-after", "7.25")], 7_250),
            (&[("ratelimit-reset", "90")], 90_000),
            (&[("retry-after", "6"), ("ratelimit-reset", "61.5")], 61_500),
            (&[("retry-after", "8"), ("retry-after", "120")], 120_000),
        ];
        for (headers, millis) in cases {
            let response = Response::new(429, headers, b"{}");
            let (_, reply) = exchange(protocol, Caller::list, response).await;
            assert_eq!(reply.code(), Code::ResourceExhausted, "{headers:?}");
            assert_eq!(reply.error_metadata("attempts").as_deref(), Some("1"));
            let delay = reply.details().retry_info().unwrap().retry_delay.unwrap();
            assert_eq!(delay.as_millis(), millis, "{headers:?}");
            let pushback = reply.headers["grpc-retry-pushback-ms"].to_str().unwrap();
            let pushback: u128 = pushback.parse().unwrap();
            assert!((millis..=millis * 6 / 5).contains(&pushback), "{pushback}");
        }
    })
    .await;
}

#[tokio::test]
async fn message_of_a_megabyte_is_shortened_to_fit_the_trailers() {
    over_both(async |protocol| {
        let (_, reply) =
            exchange(protocol, Caller::create, rejection(422, &"é".repeat(1 << 19)))
                .await;
        assert_eq!(reply.code(), Code::InvalidArgument);
        assert!(reply.message().len() <= 1024, "{}", reply.message().len());
        assert!(reply.trailer_size() <= 8192, "{}", reply.trailer_size());
    })
    .await;
}

#[tokio::test]
async fn sandbox_rejects_keys_as_polytomic_documents() {
    over_both(async |protocol| {
        use polytomic_gateway::sandbox::seed;

        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        let with_key = |key: &str| {
            Caller::list(gateway.address)
                .without("authorization")
                .with("authorization", &format!("Bearer {key}"))
        };
        let user = with_key(seed::USER_KEY).send().await;
        assert_eq!(user.code(), Code::PermissionDenied, "{}", user.message());
        let unknown = with_key("no-such-key").send().await;
        assert_eq!(unknown.code(), Code::Unauthenticated, "{}", unknown.message());
        let other = with_key(seed::OTHER_PARTNER_KEY).send().await;
        assert_eq!(other.code(), Code::NotFound, "{}", other.message());
    })
    .await;
}
