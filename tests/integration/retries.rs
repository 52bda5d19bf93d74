//! Creates that clients retry: how the gateway recognizes a retry, and which ones it
//! prevents.

use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::frame,
    fake::{JSON, Response, Script, Step},
    log::Log,
    over_both,
};
use tonic::Code;

const PREVIOUS: &str = "grpc-previous-rpc-attempts";
const COUNT: &str = "x-envoy-attempt-count";
const ID: &str = "x-request-id";
const KEY: &str = "idempotency-key";
const ORIGIN: &str = "idempotency-key-origin";
const PUSHBACK: &str = "grpc-retry-pushback-ms";

async fn playing(protocol: Protocol, step: Step) -> (Fake, Gateway) {
    let fake = Fake::playing(Script::new(protocol, vec![vec![step]])).await;
    let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
    (fake, gateway)
}

#[tokio::test]
async fn create_with_a_generated_key_and_unknown_outcome_is_not_retryable() {
    over_both(async |protocol| {
        let (_fake, gateway) = playing(protocol, Step::Reset).await;
        let create = || Caller::create(gateway.address);
        let reply = create().send().await;
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert_eq!(reply.error_metadata("retryable").as_deref(), Some("false"));
        assert_eq!(reply.headers["grpc-retry-pushback-ms"], "-1");
        let (_fake, busy) =
            playing(protocol, Step::Respond(Response::new(503, &[], b""))).await;
        let reply = Caller::create(busy.address).send().await;
        assert!(reply.details().retry_info().is_none());

        let reply = create().with(ID, "r-1").send().await;
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert_eq!(reply.error_metadata("retryable").as_deref(), Some("false"));
        assert_eq!(reply.headers[PUSHBACK], "-1", "a sidecar may change the ID");

        let reply = create().with(KEY, "the-same-again").send().await;
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert_eq!(reply.error_metadata("retryable").as_deref(), Some("true"));
        assert!(!reply.headers.contains_key(PUSHBACK));
    })
    .await;
}

#[tokio::test]
async fn retry_policies_are_told_not_to_retry_a_create_without_a_key() {
    over_both(async |protocol| {
        let (_fake, gateway) =
            playing(protocol, Step::Respond(Response::new(429, &[], b""))).await;
        let reply = Caller::create(gateway.address).send().await;
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("REJECTED"));
        assert_eq!(reply.error_metadata("retryable").as_deref(), Some("true"));
        assert_eq!(reply.headers["grpc-retry-pushback-ms"], "-1");
        let list = Caller::list(gateway.address).send().await;
        assert_ne!(list.headers["grpc-retry-pushback-ms"], "-1");
    })
    .await;
}

#[tokio::test]
async fn retry_rejected_before_the_rpc_has_an_unknown_outcome() {
    over_both(async |protocol| {
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        for (count, outcome) in [("1", "NOT_SENT"), ("2", "UNKNOWN")] {
            let reply = Caller::create(gateway.address)
                .with(COUNT, count)
                .with(KEY, "the-key-of-it")
                .body(vec![0; 70_000])
                .send()
                .await;
            assert_eq!(reply.reason(), "REQUEST_TOO_LARGE");
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some(outcome));
            let key = reply.error_metadata("idempotencyKey");
            assert_eq!(key.as_deref(), Some("the-key-of-it"));
        }
        assert!(fake.seen().is_empty());
    })
    .await;
}

#[tokio::test]
async fn retry_of_a_client_library_without_its_own_key_is_rejected() {
    over_both(async |protocol| {
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        let create = || Caller::create(gateway.address);
        // A sidecar gives each stream an ID, so an ID does not help.
        for marked in [
            create().with(PREVIOUS, "1"),
            create().with(PREVIOUS, "1").with(ID, "r-1"),
            create().with(PREVIOUS, "1").with(COUNT, "1").with(ID, "r-1"),
            create().with(COUNT, "2"),
            create().with(COUNT, "2").with(ID, "-"),
        ] {
            let reply = marked.send().await;
            assert_eq!(reply.code(), Code::InvalidArgument, "{}", reply.message());
            assert_eq!(reply.violations(), ["metadata.idempotency-key"]);
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
            assert_eq!(reply.error_metadata("retryable").as_deref(), Some("false"));
            assert_eq!(reply.headers[PUSHBACK], "-1");
        }
        assert!(fake.seen().is_empty());

        let list = Caller::list(gateway.address).with(PREVIOUS, "1");
        assert_eq!(list.send().await.code(), Code::Ok, "a list may be retried");
    })
    .await;
}

#[tokio::test]
async fn stream_that_a_proxy_sends_again_keeps_its_derived_key() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        let before = gateway.sandbox().shares().len();
        let create = || Caller::create(gateway.address).with(ID, "r-1");
        let first = create().with(COUNT, "1").send().await;
        let second = create().with(COUNT, "2").send().await;
        assert_eq!((first.code(), second.code()), (Code::Ok, Code::Ok));
        assert_eq!(first.headers[ORIGIN], "derived");
        assert_eq!(first.headers[KEY], second.headers[KEY]);
        assert_eq!(gateway.sandbox().shares().len(), before + 1);
    })
    .await;
}

#[tokio::test]
async fn retry_of_a_client_library_with_its_own_key_makes_one_share() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        let before = gateway.sandbox().shares().len();
        for previous in 0..3 {
            let reply = Caller::create(gateway.address)
                .with(KEY, "one-share")
                .with(PREVIOUS, &previous.to_string())
                .with(ID, &format!("stream-{previous}"))
                .send()
                .await;
            assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
            assert_eq!(reply.headers[ORIGIN], "given");
        }
        assert_eq!(gateway.sandbox().shares().len(), before + 1);
    })
    .await;
}

#[tokio::test]
async fn origin_of_a_key_is_in_metadata_details_and_log() {
    over_both(async |protocol| {
        let (_fake, gateway) = playing(protocol, Step::Reset).await;
        let beyond = "x".repeat(129);
        let create = || Caller::create(gateway.address);
        for (create, origin) in [
            (create().with(KEY, "the-key-of-it").with(ID, "r-1"), "given"),
            (create().with(ID, "r-1"), "derived"),
            (create(), "fresh"),
            (create().with(ID, ""), "fresh"),
            (create().with(ID, "-"), "fresh"),
            (create().with(ID, &beyond), "fresh"),
            (create().with(ID, "r-1").with(ID, "r-1"), "fresh"),
        ] {
            let log = Log::keep();
            let reply = create.send().await;
            assert_eq!(reply.headers[ORIGIN], origin);
            assert_eq!(log.rpcs()[0]["idempotency_key_origin"], origin);
            let detail = reply.error_metadata("idempotencyKeyOrigin");
            assert_eq!(detail.as_deref(), Some(origin));
        }
    })
    .await;
}

#[tokio::test]
async fn outcome_of_a_retry_is_unknown_unless_polytomic_recorded_it() {
    over_both(async |protocol| {
        let recorded = br#"{"key":"not_found","message":"no","status":404}"#;
        for (status, body, outcome) in [
            (429, &b""[..], "UNKNOWN"),
            (403, b"", "UNKNOWN"),
            (404, recorded, "REJECTED"),
        ] {
            let response = Response::new(status, JSON, body);
            let (_fake, gateway) = playing(protocol, Step::Respond(response)).await;
            let reply = Caller::create(gateway.address)
                .with(COUNT, "2")
                .with(ID, "r-1")
                .send()
                .await;
            assert_eq!(
                reply.error_metadata("outcome").as_deref(),
                Some(outcome),
                "{status}"
            );
            let key = reply.error_metadata("idempotencyKey").unwrap();
            assert_eq!(reply.headers["idempotency-key"], key);
        }
    })
    .await;
}

/// Polytomic may still work on a request to which a proxy has responded with 500. A retry
/// with a new key would then make a second share.
#[tokio::test]
async fn failure_that_a_proxy_may_have_sent_asks_for_the_same_key() {
    let own = r#"{"key":"internal_error","message":"no","status":500}"#;
    let of_a_proxy = ["", "<html>Internal Server Error</html>", r#"{"message":"no"}"#];
    over_both(async |protocol| {
        for (body, is_recorded) in
            [(own, true)].into_iter().chain(of_a_proxy.map(|body| (body, false)))
        {
            let response = Response::new(500, JSON, body.as_bytes());
            let (_fake, gateway) = playing(protocol, Step::Respond(response)).await;
            let key = ("idempotency-key", "the-key-of-this-create");
            let reply = Caller::create(gateway.address).with(key.0, key.1).send().await;
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
            assert_eq!(reply.error_metadata("retryable").as_deref(), Some("false"));
            let message = reply.message();
            let asks_for_another = message.contains("use a new idempotency key");
            assert_eq!(asks_for_another, is_recorded, "{body}: {message}");
            let asks_for_the_same =
                message.contains("retry with idempotency key the-key-of-this-create");
            assert_eq!(asks_for_the_same, !is_recorded, "{body}: {message}");
        }
    })
    .await;
}

#[tokio::test]
async fn create_through_a_proxy_that_does_not_count_may_be_a_retry() {
    over_both(async |protocol| {
        let busy = Response::new(429, JSON, b"");
        let (_fake, gateway) = playing(protocol, Step::Respond(busy)).await;
        let down = Gateway::at("http://127.0.0.1:1", &["--attempts", "1"]).await;
        // What Envoy adds by default, and what others add.
        for sign in
            ["x-envoy-expected-rq-timeout-ms", "x-forwarded-proto", "forwarded", "via"]
        {
            let create =
                |address| Caller::create(address).with(sign, "1").with(ID, "r-1");
            let replies = [
                create(down.address).send().await,
                create(down.address).with(KEY, "the-key-of-it").send().await,
                create(gateway.address).send().await,
            ];
            for reply in &replies {
                let outcome = reply.error_metadata("outcome");
                assert_eq!(outcome.as_deref(), Some("UNKNOWN"), "{sign}: {reply:?}");
            }
            assert_eq!(replies[0].error_metadata("retryable").as_deref(), Some("false"));
            assert_eq!(replies[1].error_metadata("retryable").as_deref(), Some("true"));
        }
        let is_first =
            |sign| Caller::create(down.address).with(sign, "http").with(COUNT, "1");
        for certain in [
            Caller::create(down.address).with(ID, "r-1"),
            is_first("x-forwarded-proto"),
            is_first("x-envoy-expected-rq-timeout-ms"),
        ] {
            let reply = certain.send().await;
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        }
    })
    .await;
}

#[tokio::test]
async fn failure_of_every_try_is_certain_behind_a_proxy_that_does_not_count() {
    over_both(async |protocol| {
        let own = br#"{"key":"some_key","message":"no"}"#;
        let proxied = |address| Caller::create(address).with("x-forwarded-proto", "http");
        for (status, body, outcome) in [
            (401, &own[..], "REJECTED"),
            (403, own, "REJECTED"),
            (404, own, "REJECTED"),
            (403, b"<html>Forbidden</html>", "UNKNOWN"),
        ] {
            let response = Response::new(status, JSON, body);
            let (_fake, gateway) = playing(protocol, Step::Respond(response)).await;
            let reply = proxied(gateway.address).send().await;
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some(outcome));
        }
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        for invalid in [
            proxied(gateway.address).body(frame(b"")),
            proxied(gateway.address).with(KEY, "short"),
            proxied(gateway.address).without("authorization"),
        ] {
            let reply = invalid.send().await;
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        }
        assert!(fake.seen().is_empty());
    })
    .await;
}

#[tokio::test]
async fn failed_create_returns_its_key() {
    over_both(async |protocol| {
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        let rejected = Caller::create(gateway.address).without("authorization");
        let reply = rejected.with(COUNT, "2").with(ID, "r-1").send().await;
        assert_eq!(reply.code(), Code::Unauthenticated);
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert!(reply.error_metadata("idempotencyKey").is_some());
        assert!(fake.seen().is_empty());
    })
    .await;
}
