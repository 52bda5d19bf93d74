//! What one connection may hold, and what it leaves to others.

use std::time::Duration;

use polytomic_gateway::budget;
use prost::Message;
use tokio::time::timeout;
use tonic::Code;

use kit::{
    Caller, Fake, Gateway,
    caller::{self, KEY, SERVICE, list_request},
    fake::{Script, Step},
    frames::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, frame, rpc},
    until,
};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_connection_gets_the_rpcs_in_flight_of_the_formula() {
    const IN_FLIGHT: u16 = 16;
    const ASKED: usize = 20;

    let share = budget::Settings {
        response_memory: 256 << 20,
        max_in_flight: usize::from(IN_FLIGHT),
        max_connections: 1024,
    }
    .shares()
    .in_flight;
    let reactions = vec![vec![Step::Stall]];
    let fake = Fake::playing(Script { reactions, ..Script::default() }).await;
    let gateway =
        Gateway::with(&fake, &["--max-in-flight", &IN_FLIGHT.to_string()]).await;
    let path = format!("/{SERVICE}/ListPartnerSharedConnections");
    let key = format!("Bearer {KEY}");
    let headers = rpc(&path, &[("authorization", &key)]);
    let body = caller::frame(&list_request().encode_to_vec());
    let mut peers = Vec::new();
    let mut all = 0;
    while all < usize::from(IN_FLIGHT) {
        let allowed = share.limit(all);
        assert!(allowed > 0, "{all} are in flight");
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in (1..).step_by(2).take(ASKED) {
            peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
            peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
        }
        for _ in allowed..ASKED {
            let is_rejection = |frame: &Frame| frame.kind == HEADERS;
            timeout(LONG, peer.reader.find(is_rejection)).await.unwrap().unwrap();
        }
        all += allowed;
        until(|| fake.seen().len() == all).await;
        peers.push(peer);
    }
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted);
    drop(peers);
    until(|| fake.deserted() == u64::from(IN_FLIGHT)).await;
}
