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

/// The size of an answer as JSON. There is memory for ten, beside the first 64 KiB
/// of each connection; until its message is there, an answer takes twice as much.
const LARGE: usize = 1 << 20;
const MEMORY: [&str; 6] = [
    "--answer-limit",
    "2097152",
    "--answer-memory",
    "16777216",
    "--max-connections",
    "32",
];

/// Starts a gateway whose upstream answers every list with a large one.
async fn gateway(flags: &[&str]) -> (Gateway, Fake) {
    let name = "n".repeat(LARGE - 100);
    answering(&format!(r#"{{"data":[{{"id":"{ID}","name":"{name}"}}]}}"#), flags).await
}

async fn answering(body: &str, flags: &[&str]) -> (Gateway, Fake) {
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
    let message = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    };
    ask(peer, stream, &path, &message.encode_to_vec()).await
}

async fn ask(peer: &mut Peer, stream: u32, path: &str, message: &[u8]) -> Frame {
    let key = format!("Bearer {KEY}");
    let headers = rpc(path, &[("authorization", &key)]);
    peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
    let body = caller::frame(message);
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
    let call = || Caller::list(gateway.address).send();
    for window in [0, 1] {
        let mut peers = Vec::new();
        // Each leaves as much as it takes.
        for most in [4, 2, 1] {
            assert_eq!(call().await.code(), Code::Ok);
            let mut greedy = peer(&gateway, window).await;
            let mut given = 0;
            for stream in (1..20).step_by(2) {
                given += usize::from(is_answer(&list(&mut greedy, stream).await));
            }
            assert_eq!(given, most);
            peers.push(greedy);
        }
        let reply = call().await;
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
        let outcome = reply.error_metadata("outcome");
        assert!(matches!(outcome.as_deref(), Some("NOT_SENT" | "COMPLETED")));
        assert!(reply.details().retry_info().is_some());

        // Whoever goes away leaves its room to others.
        drop(peers);
        let answered = async { while call().await.code() != Code::Ok {} };
        timeout(LONG, answered).await.unwrap();
    }
}

#[tokio::test]
async fn a_large_answer_that_has_no_room_is_not_asked_for_again() {
    let (gateway, fake) = gateway(&[]).await;
    let mut peers = Vec::new();
    let mut asked = 0;
    for most in [4, 2, 1] {
        let mut greedy = peer(&gateway, 0).await;
        for stream in (1..).step_by(2).take(most) {
            assert!(is_answer(&list(&mut greedy, stream).await));
        }
        asked += most;
        peers.push(greedy);
    }
    for _ in 0..10 {
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        assert!(reply.details().retry_info().is_some());
    }
    assert_eq!(fake.seen().len(), asked);
}

#[tokio::test]
async fn a_message_that_is_larger_than_its_json_is_counted_as_it_is() {
    // Two bytes of JSON are eleven of a Struct.
    let numbers = "1,".repeat(600_000);
    let body =
        format!(r#"{{"data":[{{"id":"{ID}","configuration":{{"n":[{numbers}1]}}}}]}}"#);
    let (gateway, fake) = answering(&body, &[]).await;
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.reason(), "GATEWAY_OVERLOADED", "{}", reply.message());
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("COMPLETED"));
    assert_eq!(fake.seen().len(), 1, "a repeat would end the same");
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
    let flags = ["--write-timeout", "0.5", "--max-connection-age-grace", "0.2"];
    let (gateway, _fake) = gateway(&flags).await;
    let health = "/grpc.health.v1.Health/Check";
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let services = [0x3a, 0];
    for (window, path, message) in
        [(0, "", &[][..]), (1, "", &[]), (0, health, &[]), (0, reflection, &services)]
    {
        let started = Instant::now();
        let mut deaf = peer(&gateway, window).await;
        let head = match path {
            "" => list(&mut deaf, 1).await,
            path => ask(&mut deaf, 1, path, message).await,
        };
        assert!(is_answer(&head), "{path}");
        // Sooner than a connection on which no PING is answered.
        let frames = timeout(LONG / 3, deaf.reader.rest()).await.expect("it ends");
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
    // The first leave as many of half of the places as they take, the rest have
    // their share.
    assert_eq!(watches, 4 * 100 + 56 + 28 + 14 + 7 + 12 * 4);
    assert_eq!(check("Check").send().await.code(), Code::Ok);
}
