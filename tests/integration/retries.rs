//! Creates that clients retry: how the gateway recognizes a retry, and which ones it
//! prevents.

use kit::{
    Caller, Fake, Gateway, Protocol,
    fake::{JSON, Response, Script, Step},
    over_both,
};
use tonic::Code;

const PREVIOUS: &str = "grpc-previous-rpc-attempts";

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

        for stable in ["x-request-id", "idempotency-key"] {
            let reply = create().with(stable, "the-same-again").send().await;
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
            assert_eq!(reply.error_metadata("retryable").as_deref(), Some("true"));
            assert!(!reply.headers.contains_key("grpc-retry-pushback-ms"), "{stable}");
        }
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
                .with("x-envoy-attempt-count", count)
                .with("idempotency-key", "the-key-of-it")
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
async fn retried_create_without_a_key_is_rejected() {
    over_both(async |protocol| {
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        let again = |caller: Caller| caller.with(PREVIOUS, "1");
        let reply = again(Caller::create(gateway.address)).send().await;
        assert_eq!(reply.code(), Code::InvalidArgument, "{}", reply.message());
        let details = reply.details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "metadata.idempotency-key");
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert!(fake.seen().is_empty());

        let with_id = Caller::create(gateway.address).with("x-request-id", "r-1");
        assert_eq!(again(with_id).send().await.code(), Code::Ok);
        let list = again(Caller::list(gateway.address));
        assert_eq!(list.send().await.code(), Code::Ok, "a list may be retried");
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
                .with("x-envoy-attempt-count", "2")
                .with("x-request-id", "r-1")
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

#[tokio::test]
async fn failed_create_returns_its_key() {
    over_both(async |protocol| {
        let (fake, gateway) = playing(protocol, Step::Answer).await;
        let rejected = Caller::create(gateway.address).without("authorization");
        let reply = rejected.with(PREVIOUS, "2").with("x-request-id", "r-1").send().await;
        assert_eq!(reply.code(), Code::Unauthenticated);
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
        assert!(reply.error_metadata("idempotencyKey").is_some());
        assert!(fake.seen().is_empty());
    })
    .await;
}
