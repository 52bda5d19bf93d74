//! Responses that do not match the contract: an error with the cause, and never an
//! empty success.

use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::Reply,
    fake::{JSON, Response, answer},
    over_both,
};
use tonic::Code;

async fn list(protocol: Protocol, response: Response) -> Reply {
    let fake = Fake::responding(protocol, [response]).await;
    let gateway = Gateway::on(&fake).await;
    Caller::list(gateway.address).send().await
}

/// Sends a create to an upstream that always sends the same response.
async fn create(protocol: Protocol, response: Response) -> Reply {
    let fake = Fake::responding(protocol, vec![response; 3]).await;
    let gateway = Gateway::on(&fake).await;
    Caller::create(gateway.address).send().await
}

#[tokio::test]
async fn unreadable_success_is_an_error() {
    over_both(async |protocol| {
        let deep =
            format!(r#"{{"data":[{{"configuration":{}"#, r#"{"a":"#.repeat(100_000));
        let cases: [(&str, &str, &str); 11] = [
            ("nothing", "", "early"),
            ("half a list", r#"{"data":[{"id":"248df4b7"#, "early"),
            ("half an object", r#"{"data":[{}]"#, "early"),
            ("html", "<html>Sign in</html>", ""),
            ("an array", "[]", ""),
            ("a string", r#""data""#, ""),
            ("data of another type", r#"{"data":"none"}"#, "data"),
            ("an id that is a number", r#"{"data":[{"id":7}]}"#, "data[0].id"),
            (
                "a time that is none",
                r#"{"data":[{},{"created_at":"soon"}]}"#,
                "data[1].created_at",
            ),
            ("something behind the end", r#"{"data":[]} trailing"#, ""),
            ("nesting without end", &deep, ""),
        ];
        for (case, body, expected) in cases {
            let reply = list(protocol, Response::new(200, JSON, body.as_bytes())).await;
            assert_eq!(reply.code(), Code::Internal, "{case}: {}", reply.message());
            assert_eq!(reply.reason(), "UPSTREAM_BAD_RESPONSE", "{case}");
            assert!(reply.message().contains(expected), "{case}: {}", reply.message());
            assert!(
                !reply.message().contains("Sign in"),
                "{case}: the body is not copied"
            );
            assert!(reply.body.is_empty(), "{case}");
        }
    })
    .await;
}

#[tokio::test]
async fn success_in_the_form_of_an_error_is_no_empty_list() {
    over_both(async |protocol| {
        for body in [
            r#"{"error":"secret"}"#,
            r#"{"errors":[]}"#,
            r#"{"message":"secret","status":500}"#,
            r#"{"key":"internal_error"}"#,
            r#"{"error":null,"result":[]}"#,
            r#"{"type":"about:blank","title":"Not Found","detail":"secret"}"#,
            r#"{"Message":"secret"}"#,
            r#"{"results":[]}"#,
            r#"{"success":false}"#,
            r#"{"pagination":{"next":null}}"#,
        ] {
            let reply = list(protocol, Response::json(200, body)).await;
            assert_eq!(reply.code(), Code::Internal, "{body}");
            assert_eq!(reply.reason(), "UPSTREAM_BAD_RESPONSE", "{body}");
            assert!(
                reply.message().contains("none of the keys `data`"),
                "{}",
                reply.message()
            );
            assert!(!reply.message().contains("secret"), "{}", reply.message());
        }
        for body in
            ["{}", r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"data":[],"status":200}"#]
        {
            let reply = list(protocol, Response::json(200, body)).await;
            assert_eq!(reply.code(), Code::Ok, "{body}: {}", reply.message());
        }
    })
    .await;
}

#[tokio::test]
async fn unreadable_create_has_an_unknown_outcome() {
    over_both(async |protocol| {
        for body in [
            "",
            "{}",
            r#"{"data":null}"#,
            r#"{"data":{}}"#,
            r#"{"data":{"id":""}}"#,
            "<html>",
        ] {
            let reply = create(protocol, Response::new(200, JSON, body.as_bytes())).await;
            assert_eq!(reply.code(), Code::Unknown, "{body}: {}", reply.message());
            assert_eq!(reply.reason(), "OUTCOME_UNKNOWN", "{body}");
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
            let key = reply.error_metadata("idempotencyKey").unwrap();
            assert_eq!(reply.headers["idempotency-key"], key);
        }
    })
    .await;
}

#[tokio::test]
async fn other_content_types_are_named_in_the_error() {
    over_both(async |protocol| {
        let html =
            Response::new(200, &[("content-type", "text/html")], b"<html>Sign in</html>");
        let reply = list(protocol, html).await;
        assert_eq!(reply.code(), Code::Internal);
        assert!(reply.message().contains("content type"), "{}", reply.message());

        let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
        let reply = list(protocol, Response::new(200, &gzip, b"\x1f\x8b")).await;
        assert_eq!(reply.code(), Code::Internal);
        assert!(reply.message().contains("compressed"), "{}", reply.message());

        // Other names of JSON, and no content type, are read.
        for content_type in [
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/problem+json",
            "text/json",
            "text/plain; charset=utf-8",
        ] {
            let reply = list(
                protocol,
                Response::new(200, &[("content-type", content_type)], b"{}"),
            )
            .await;
            assert_eq!(reply.code(), Code::Ok, "{content_type}");
        }
        assert_eq!(list(protocol, Response::new(200, &[], b"{}")).await.code(), Code::Ok);
    })
    .await;
}

#[tokio::test]
async fn response_over_the_limit_is_resource_exhausted() {
    let limit = 10_000;
    let long = format!(r#"{{"data":[],"x":"{}"}}"#, "y".repeat(limit));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    for bytes in [answer(200, JSON, long.as_bytes()), chunked.into_bytes()] {
        let fake = Fake::answering([bytes]).await;
        let gateway = Gateway::with(&fake, &["--answer-limit", "10000"]).await;
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::ResourceExhausted, "{}", reply.message());
        assert_eq!(reply.reason(), "UPSTREAM_RESPONSE_TOO_LARGE");
        assert_eq!(reply.headers["grpc-retry-pushback-ms"], "-1");
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    over_both(async |protocol| {
        let elsewhere = Fake::json(200, "{}").await;
        let location = format!("{}/steal", elsewhere.url());
        for status in [301, 302, 303, 307, 308] {
            let reply =
                list(protocol, Response::new(status, &[("location", &location)], b""))
                    .await;
            assert_eq!(reply.code(), Code::Internal);
            assert_eq!(reply.reason(), "UPSTREAM_REDIRECT");
            assert!(!reply.message().contains("steal"), "{}", reply.message());
        }
        assert!(elsewhere.seen().is_empty());
    })
    .await;
}

#[tokio::test]
async fn unreachable_upstream_is_unavailable() {
    // No process listens on this port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gateway = Gateway::at(&url, &[]).await;
    let reply = Caller::create(gateway.address).send().await;
    assert_eq!(reply.code(), Code::Unavailable);
    assert_eq!(reply.reason(), "UPSTREAM_CONNECT_FAILED");
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert!(!reply.message().contains(&url), "{}", reply.message());
}

#[tokio::test]
async fn upstream_that_closes_the_connection_is_unavailable() {
    over_both(async |protocol| {
        let fake = Fake::responding(protocol, []).await;
        let gateway = Gateway::on(&fake).await;
        let reply = Caller::create(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Unavailable, "{}", reply.message());
        assert_eq!(reply.reason(), "UPSTREAM_RESET");
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert!(reply.error_metadata("idempotencyKey").is_some());
    })
    .await;
}
