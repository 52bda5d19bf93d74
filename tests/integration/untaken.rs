//! Peers that ask and do not take the answers: what is kept for them is bounded,
//! in bytes and in time, and costs others nothing.

use std::time::Duration;

use polytomic_gateway::proto::ListPartnerSharedConnectionsRequest;
use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::support::{
    Caller, Fake, Gateway,
    caller::{self, ID, KEY, SERVICE},
    fake::{Script, Step, answer},
    frames::{
        DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, SETTINGS, WINDOW_UPDATE,
        frame, rpc,
    },
};

const LONG: Duration = Duration::from_secs(60);

/// The size of an answer as JSON; memory for six, in places of 32 KiB.
const LARGE: usize = 1 << 20;
const MEMORY: [&str; 6] =
    ["--answer-limit", "2097152", "--answer-memory", "6291456", "--max-in-flight", "96"];

/// Starts a gateway whose upstream answers every list with a large one.
async fn gateway(flags: &[&str]) -> (Gateway, Fake) {
    let name = "n".repeat(LARGE - 100);
    let body = format!(r#"{{"data":[{{"id":"{ID}","name":"{name}"}}]}}"#);
    let answer = answer(200, &[("content-type", "application/json")], body.as_bytes());
    let reactions = vec![vec![Step::Write(answer)]];
    let fake = Fake::playing(Script { reactions, ..Script::default() }).await;
    let flags = [&MEMORY[..], flags].concat();
    (Gateway::with(&fake, &flags).await, fake)
}

/// A peer that grants each stream a window of so many bytes.
async fn peer(gateway: &Gateway, window: u32) -> Peer {
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let mut initial_window = vec![0, 4];
    initial_window.extend(window.to_be_bytes());
    peer.send(&frame(SETTINGS, 0, 0, &initial_window)).await.unwrap();
    peer
}

/// Asks for a list, and reads until the head of the answer is there.
async fn list(peer: &mut Peer, stream: u32) -> Frame {
    let path = format!("/{SERVICE}/ListPartnerSharedConnections");
    let key = format!("Bearer {KEY}");
    let message = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    };
    let headers = rpc(&path, &[("authorization", &key)]);
    peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
    let body = caller::frame(&message.encode_to_vec());
    peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
    let is_head = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
    timeout(LONG, peer.reader.find(is_head)).await.unwrap().unwrap()
}

/// Tells an answer from a refusal, which has no data after its head.
fn is_answer(head: &Frame) -> bool {
    head.flags & END_STREAM == 0
}

#[tokio::test]
async fn memory_for_answers_that_are_not_taken_is_bounded() {
    let (gateway, _fake) = gateway(&[]).await;
    for window in [0, 1] {
        let mut greedy = peer(&gateway, window).await;
        let mut answers = Vec::new();
        for stream in (1..20).step_by(2) {
            answers.push(is_answer(&list(&mut greedy, stream).await));
        }
        let given = answers.iter().filter(|given| **given).count();
        assert_eq!(given, 3, "half of the memory: {answers:?}");

        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("COMPLETED"));
        assert!(reply.details().retry_info().is_some());

        // Whoever goes away leaves its room to others.
        drop(greedy);
        let answered = async {
            while Caller::list(gateway.address).send().await.code() != Code::Ok {}
        };
        timeout(LONG, answered).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_late_is_whole() {
    let (gateway, _fake) = gateway(&[]).await;
    let mut slow = peer(&gateway, 0).await;
    assert!(is_answer(&list(&mut slow, 1).await));
    let mut taken = 0;
    let more = 16_384_u32.to_be_bytes();
    loop {
        for stream in [0, 1] {
            slow.send(&frame(WINDOW_UPDATE, 0, stream, &more)).await.unwrap();
        }
        let is_part = |frame: &Frame| frame.stream == 1;
        let part = timeout(LONG, slow.reader.find(is_part)).await.unwrap().unwrap();
        if part.kind == HEADERS {
            break;
        }
        taken += part.payload.len();
    }
    let whole = Caller::list(gateway.address).send().await;
    assert_eq!(whole.code(), Code::Ok, "{}", whole.message());
    assert_eq!(taken, whole.body.len());
}

#[tokio::test]
async fn a_connection_that_does_not_take_its_answers_is_ended() {
    let (gateway, _fake) = gateway(&["--write-timeout", "0.5"]).await;
    for window in [0, 1] {
        let started = Instant::now();
        let mut deaf = peer(&gateway, window).await;
        assert!(is_answer(&list(&mut deaf, 1).await));
        let frames = timeout(LONG, deaf.reader.rest()).await.expect("it ends");
        assert!(started.elapsed() >= Duration::from_millis(500));
        let (_, code, _) = frames.iter().find_map(Frame::goaway).expect("a GOAWAY");
        assert_eq!(code, 0, "no error: other RPCs on it may end first");
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    }
}

#[tokio::test]
async fn watches_on_one_connection_are_bounded() {
    let gateway = Gateway::on_sandbox().await;
    let check = |path: &str| {
        Caller::list(gateway.address)
            .path(&format!("/grpc.health.v1.Health/{path}"))
            .body(caller::frame(&[]))
    };
    let mut peers = Vec::new();
    let mut watches = 0;
    for _ in 0..20 {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in (1..200).step_by(2) {
            let block = rpc("/grpc.health.v1.Health/Watch", &[]);
            peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await.unwrap();
            let body = caller::frame(&[]);
            peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
            let is_head = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
            let head = timeout(LONG, peer.reader.find(is_head)).await.unwrap().unwrap();
            watches += usize::from(is_answer(&head));
        }
        peers.push(peer);
    }
    // The first five and a part of the sixth take half of all, the rest their share.
    assert_eq!(watches, 512 + 14 * 4);
    assert_eq!(check("Check").send().await.code(), Code::Ok);
}
