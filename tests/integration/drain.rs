//! How a gateway stops: what it says, what it still serves, and that it ends.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Caller, Fake, Gateway,
    caller::SERVICE,
    frames::{GOAWAY, PREFACE, Peer, SETTINGS},
    held::Held,
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lame_duck_says_so_and_serves_on() {
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
async fn watches_end_with_the_server() {
    let gateway = Gateway::on_sandbox().await;
    let mut health = HealthClient::new(gateway.channel().await);
    let mut watches = Vec::new();
    for service in ["", SERVICE, "nope"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut states = health.watch(request).await.unwrap().into_inner();
        assert!(states.message().await.unwrap().is_some());
        watches.push(states);
    }
    let started = Instant::now();
    timeout(SOON, gateway.stop()).await.expect("nothing is waited for");
    assert!(started.elapsed() < SOON);
    for mut states in watches {
        while let Some(state) = states.message().await.unwrap() {
            assert_eq!(state.status(), ServingStatus::NotServing);
        }
    }
}

#[tokio::test]
async fn an_rpc_in_flight_is_answered_and_new_connections_are_refused() {
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
    timeout(SOON, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn peers_that_hang_do_not_outlast_the_drain_limit() {
    let upstream = Held::start().await;
    let gateway = Gateway::at(&upstream.url(), &["--drain-limit", "0.3"]).await;
    let address = gateway.address;
    // Neither of these is waited for: they have not begun.
    let silent = Peer::connect(address).await.unwrap();
    let mut half = Peer::connect(address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    // This one reads nothing, and so acknowledges no PING.
    let mut deaf = Peer::greet(address).await.unwrap();
    assert_eq!(deaf.reader.next().await.unwrap().kind, SETTINGS);
    // And this one's answer never comes.
    let call = tokio::spawn(Caller::list(address).send());
    let request = upstream.request().await;

    let started = Instant::now();
    gateway.stop().await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_millis(1300), "{took:?}");
    request.given_up().await;
    assert!(call.await.is_err(), "the call was cut");
    drop((silent, half, deaf));
}

#[tokio::test]
async fn peers_that_have_not_begun_are_not_waited_for() {
    let gateway = Gateway::on_sandbox().await;
    let silent = Peer::connect(gateway.address).await.unwrap();
    let mut half = Peer::connect(gateway.address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    // One that is served shows that those before it have been accepted.
    let list = Caller::list(gateway.address).send().await;
    assert_eq!(list.code(), Code::Ok);
    let started = Instant::now();
    gateway.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5));
    drop((silent, half));
}
