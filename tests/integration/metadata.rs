//! Which metadata the gateway forwards to Polytomic, and which it returns.

use kit::{Caller, Fake, Gateway, Protocol, fake::CREATED, over_both};
use tonic::Code;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn only_listed_metadata_is_forwarded() {
    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, "{}").await;
        let gateway = Gateway::on(&fake).await;
        let reply = Caller::list(gateway.address)
            .with("traceparent", PARENT)
            .with("tracestate", "vendor=1")
            .with("tracestate", "other=2,third=3")
            .with("x-polytomic-version", "2025-09-18")
            .with("idempotency-key", "for-creates-only")
            .with("cookie", "session=1")
            .with("x-forwarded-for", "10.0.0.1")
            .with("x-secret", "1")
            .with("grpc-accept-encoding", "gzip")
            .with("custom-bin", "AAEC")
            .send()
            .await;
        assert_eq!(reply.code(), Code::Ok);
        let seen = fake.only();
        assert_eq!(
            seen.header_names(),
            [
                "accept",
                "accept-encoding",
                "authorization",
                "host",
                "traceparent",
                "tracestate",
                "user-agent",
                "x-polytomic-version",
                "x-request-id"
            ]
        );
        assert_eq!(seen.header("traceparent"), Some(PARENT));
        assert_eq!(seen.header("tracestate"), Some("vendor=1,other=2,third=3"));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(seen.header("x-polytomic-version"), Some("2025-09-18"));
        assert_eq!(reply.headers["x-request-id"], seen.header("x-request-id").unwrap());
    })
    .await;
}

async fn key_of_create(protocol: Protocol, metadata: &[(&str, &str)]) -> String {
    let fake = Fake::json_over(protocol, 200, CREATED).await;
    let gateway = Gateway::on(&fake).await;
    let mut request = Caller::create(gateway.address);
    for (name, value) in metadata {
        request = request.with(name, value);
    }
    let reply = request.send().await;
    assert_eq!(reply.code(), Code::Ok);
    let key = fake.only().header("idempotency-key").unwrap().to_owned();
    assert_eq!(reply.headers["idempotency-key"], key);
    key
}

#[tokio::test]
async fn create_with_the_same_request_id_has_the_same_idempotency_key() {
    over_both(async |protocol| {
        let same = [("x-request-id", "5d0b")];
        assert_eq!(
            key_of_create(protocol, &same).await,
            key_of_create(protocol, &same).await
        );
        assert_ne!(
            key_of_create(protocol, &same).await,
            key_of_create(protocol, &[("x-request-id", "5d0c")]).await
        );
        assert_ne!(
            key_of_create(protocol, &[]).await,
            key_of_create(protocol, &[]).await
        );
    })
    .await;
}

#[tokio::test]
async fn idempotency_key_of_the_client_is_forwarded() {
    over_both(async |protocol| {
        let own = [("idempotency-key", "order-4711_create"), ("x-request-id", "1")];
        assert_eq!(key_of_create(protocol, &own).await, "order-4711_create");
    })
    .await;
}

#[tokio::test]
async fn retried_create_makes_one_share() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        let before = gateway.sandbox().shares().len();
        let own = || Caller::create(gateway.address).with("idempotency-key", "only-once");
        let (first, second) = (own().send().await, own().send().await);
        assert_eq!((first.code(), second.code()), (Code::Ok, Code::Ok));
        assert_eq!(first.body, second.body);
        assert_eq!(gateway.sandbox().shares().len(), before + 1);
    })
    .await;
}
