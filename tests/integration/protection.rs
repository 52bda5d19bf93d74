//! How the gateway contains failures: deadlines, cancellation, the limit of
//! concurrent RPCs, the circuit breaker, upstream connections that close.

use std::time::Duration;

use polytomic_gateway::{contract::DESCRIPTOR_SET, proto};
use tokio::time::{Instant, timeout};
use tonic::Code;

use kit::{
    Caller, Fake, Gateway,
    caller::{Reply, frame},
    fake::{Script, Step, answer},
    settings, until,
};

/// Longer than any step takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

async fn playing(reactions: Vec<Vec<Step>>) -> Fake {
    Fake::playing(Script { reactions, ..Script::default() }).await
}

#[tokio::test]
async fn rpc_past_its_deadline_sends_nothing() {
    let fake = playing(vec![vec![Step::Answer]]).await;
    // With the look-up of the key's identity.
    let gateway =
        Gateway::start(settings(&["--upstream-url", &fake.url()]), DESCRIPTOR_SET).await;
    for caller in [Caller::list(gateway.address), Caller::create(gateway.address)] {
        let reply = caller.with("grpc-timeout", "0n").send().await;
        assert_eq!(reply.code(), Code::DeadlineExceeded);
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        assert_eq!(reply.error_metadata("attempts").as_deref(), Some("0"));
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn deadline_status_arrives_before_the_clients_own_timer() {
    let fake = playing(vec![vec![Step::Stall]]).await;
    let gateway = Gateway::on(&fake).await;
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    let started = Instant::now();
    let reply = Caller::create(gateway.address).with("grpc-timeout", "3S").send().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(reply.reason(), "DEADLINE_EXCEEDED");
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
    assert!(reply.error_metadata("idempotencyKey").is_some());
}

#[tokio::test]
async fn cancelled_rpc_stops_its_request() {
    let fake = playing(vec![vec![Step::Stall]]).await;
    let gateway = Gateway::on(&fake).await;
    let rpc = tokio::spawn(Caller::list(gateway.address).send());
    until(|| fake.seen().len() == 1).await;
    assert_eq!(fake.deserted(), 0);
    rpc.abort();
    until(|| fake.deserted() == 1).await;
}

#[tokio::test]
async fn rpc_over_max_in_flight_is_rejected() {
    let fake = playing(vec![vec![Step::Stall], vec![Step::Answer]]).await;
    let gateway = Gateway::with(&fake, &["--max-in-flight", "1"]).await;
    let rpc = tokio::spawn(Caller::list(gateway.address).send());
    until(|| fake.seen().len() == 1).await;

    let reply = Caller::create(gateway.address).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted);
    assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert!(reply.details().retry_info().is_some());
    let health = Caller::list(gateway.address)
        .path("/grpc.health.v1.Health/Check")
        .body(frame(b""))
        .send()
        .await;
    assert_eq!(health.code(), Code::Ok, "health checks do not count");

    rpc.abort();
    until(|| fake.deserted() == 1).await;
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn failing_upstream_gets_no_requests_until_a_probe_succeeds() {
    let fake = playing(vec![vec![Step::Reset]]).await;
    let gateway = Gateway::on(&fake).await;
    let call = || Caller::create(gateway.address).send();
    let call_until = async |condition: fn(&Reply) -> bool| {
        loop {
            let reply = call().await;
            if condition(&reply) {
                return reply;
            }
        }
    };
    // The last of these may be a retry, whose create has an unknown outcome.
    let is_open = |reply: &Reply| {
        reply.code() != Code::Ok
            && reply.reason() == "CIRCUIT_OPEN"
            && reply.error_metadata("attempts").as_deref() == Some("0")
    };
    let reply = timeout(LONG, call_until(is_open)).await.unwrap();
    assert_eq!(reply.code(), Code::Unavailable);
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    let details = reply.details();
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");

    let seen = fake.seen().len();
    assert!(seen >= 20, "{seen}");
    fake.heal();
    timeout(LONG, call_until(|reply| reply.code() == Code::Ok)).await.unwrap();
    assert_eq!(fake.seen().len(), seen + 1, "only the probe was sent");
}

#[tokio::test]
async fn upstream_connection_closed_between_requests_fails_no_rpc() {
    let fake = playing(vec![vec![Step::Answer, Step::Close]]).await;
    let gateway = Gateway::on(&fake).await;
    for _ in 0..20 {
        let reply = Caller::create(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    }
}

#[tokio::test]
async fn unsolicited_response_is_discarded() {
    let wrong = answer(200, &[], br#"{"data":{"id":"somebody else's"}}"#);
    let mut twice = answer(200, &[], br#"{"data":{"id":"first"}}"#);
    twice.extend_from_slice(&wrong);
    let fake = playing(vec![vec![Step::Write(twice)], vec![Step::Answer]]).await;
    let gateway = Gateway::on(&fake).await;
    let first: proto::CreatePartnerSharedConnectionResponse =
        Caller::create(gateway.address).send().await.decode();
    assert_eq!(first.connection.unwrap().id, "first");
    let second: proto::CreatePartnerSharedConnectionResponse =
        Caller::create(gateway.address).send().await.decode();
    assert_eq!(second.connection.unwrap().id, kit::caller::ID);
}
