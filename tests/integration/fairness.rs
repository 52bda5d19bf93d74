//! What one connection has, and what it leaves to others.

use std::time::Duration;

use prost::Message;
use tokio::time::timeout;
use tonic::Code;

use crate::support::{
    Caller, Fake, Gateway,
    caller::{self, KEY, SERVICE, list_request},
    fake::{Script, Step},
    frames::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, frame, rpc},
    until,
};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_connection_leaves_as_many_rpcs_as_it_has_in_flight() {
    const ASKED: usize = 20;

    let reactions = vec![vec![Step::Stall]];
    let fake = Fake::playing(Script { reactions, ..Script::default() }).await;
    let gateway = Gateway::with(&fake, &["--max-in-flight", "16"]).await;
    let path = format!("/{SERVICE}/ListPartnerSharedConnections");
    let key = format!("Bearer {KEY}");
    let headers = rpc(&path, &[("authorization", &key)]);
    let body = caller::frame(&list_request().encode_to_vec());
    let mut peers = Vec::new();
    let mut all = 0;
    // Half of what is not kept, then a share, until there is none.
    for allowed in [7, 4, 4, 1, 0] {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in (1..).step_by(2).take(ASKED) {
            peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
            peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
        }
        for _ in allowed..ASKED {
            let is_refusal = |frame: &Frame| frame.kind == HEADERS;
            timeout(LONG, peer.reader.find(is_refusal)).await.unwrap().unwrap();
        }
        all += allowed;
        until(|| fake.seen().len() == all).await;
        peers.push(peer);
    }
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted);
    drop(peers);
    until(|| fake.deserted() == 16).await;
}
