//! How a gateway stops: what it reports, what it still serves, and when it ends.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kit::{
    Caller, Fake, Gateway, HANG_GUARD,
    caller::SERVICE,
    frames::{GOAWAY, PREFACE, Peer, SETTINGS},
    held::Held,
    log::Log,
};
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

/// Flags of a gateway whose drain hangs if it waits for anything.
const ENDLESS_DRAIN: [&str; 5] =
    ["--no-key-check", "--drain-limit", "3600", "--handshake-timeout", "3600"];

#[tokio::test]
async fn lame_duck_is_not_serving_and_accepts_connections() {
    let fake = Fake::json(200, r#"{"data":[]}"#).await;
    let gateway = Gateway::with(&fake, &["--lame-duck", "3600"]).await;
    let address = gateway.address;
    let mut health = HealthClient::new(gateway.channel().await);
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut states = health.watch(request).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::spawn(gateway.stop());
    let state = states.message().await.unwrap().unwrap();
    assert_eq!(state.status(), ServingStatus::NotServing);
    // On a new connection.
    assert_eq!(Caller::list(address).send().await.code(), Code::Ok);
    stopping.abort();
}

#[tokio::test]
async fn drain_ends_health_watches() {
    let gateway = Gateway::on_sandbox_with(&ENDLESS_DRAIN).await;
    let mut health = HealthClient::new(gateway.channel().await);
    let mut watches = Vec::new();
    for service in ["", SERVICE, "nope"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut states = health.watch(request).await.unwrap().into_inner();
        assert!(states.message().await.unwrap().is_some());
        watches.push(states);
    }
    timeout(HANG_GUARD, gateway.stop()).await.expect("the drain waits for nothing");
    for mut states in watches {
        while let Some(state) = states.message().await.unwrap() {
            assert_eq!(state.status(), ServingStatus::NotServing);
        }
    }
}

#[tokio::test]
async fn drain_ends_idle_reflection_streams() {
    let gateway = Gateway::on_sandbox_with(&ENDLESS_DRAIN).await;
    let mut reflection = ServerReflectionClient::new(gateway.channel().await);
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let requests = stream::iter([list]).chain(stream::pending());
    let mut responses =
        reflection.server_reflection_info(requests).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().is_some());
    timeout(HANG_GUARD, gateway.stop()).await.expect("the drain waits for nothing");
    let end = responses.message().await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[tokio::test]
async fn drain_completes_rpcs_in_flight_and_accepts_no_connections() {
    let upstream = Held::start().await;
    let gateway = Gateway::at(&upstream.url(), &[]).await;
    let address = gateway.address;
    let call = tokio::spawn(Caller::list(address).send());
    let mut request = upstream.request().await;
    let mut peer = Peer::greet(address).await.unwrap();
    assert_eq!(peer.reader.next().await.unwrap().kind, SETTINGS);
    let stopping = tokio::spawn(gateway.stop());
    peer.reader.find(|frame| frame.kind == GOAWAY).await.unwrap();
    assert!(Peer::connect(address).await.is_err());
    assert!(!stopping.is_finished());
    drop(peer);
    request.answer().await;
    assert_eq!(call.await.unwrap().code(), Code::Ok);
    timeout(HANG_GUARD, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn drain_limit_ends_hanging_rpcs() {
    let log = Log::keep();
    let upstream = Held::start().await;
    let gateway = Gateway::at(&upstream.url(), &["--drain-limit", "0.3"]).await;
    let address = gateway.address;
    // The drain waits for neither of these: they have not sent the preface.
    let silent = Peer::connect(address).await.unwrap();
    let mut half = Peer::connect(address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    // This peer reads nothing, and so acknowledges no PING.
    let mut deaf = Peer::greet(address).await.unwrap();
    assert_eq!(deaf.reader.next().await.unwrap().kind, SETTINGS);
    // The response of this RPC never comes.
    let call = tokio::spawn(Caller::list(address).send());
    let request = upstream.request().await;

    // The RPC would never end: only the limit ends the drain.
    let started = Instant::now();
    timeout(HANG_GUARD, gateway.stop()).await.expect("the limit ends the drain");
    assert!(started.elapsed() >= Duration::from_millis(300));
    request.given_up().await;
    assert!(call.await.is_err(), "the RPC was cut");
    let line = timeout(HANG_GUARD, log.rpc()).await.expect("the RPC logs a line");
    assert_eq!(line["code"], "Unavailable");
    assert_eq!(line["reason"], "CONNECTION_ENDED");
    drop((silent, half, deaf));
}

#[tokio::test]
async fn drain_does_not_wait_for_a_preface() {
    let gateway = Gateway::on_sandbox_with(&ENDLESS_DRAIN).await;
    let silent = Peer::connect(gateway.address).await.unwrap();
    let mut half = Peer::connect(gateway.address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    // The gateway accepts in order, so it has accepted those two.
    let list = Caller::list(gateway.address).send().await;
    assert_eq!(list.code(), Code::Ok);
    timeout(HANG_GUARD, gateway.stop()).await.expect("the drain waits for nothing");
    drop((silent, half));
}
