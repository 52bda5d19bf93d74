//! Peers that misbehave, each for a short while. The long versions, with what
//! they cost in memory and what other callers feel, are `just floods`.

use std::time::Duration;

use futures_util::future::select_all;
use http::Request;
use tokio::{net::TcpStream, time::timeout};
use tonic::Code;

use crate::support::{
    Caller, Gateway,
    caller::SERVICE,
    frames::{
        ACK, CONTINUATIONS, EMPTY_DATA, END_HEADERS, ENHANCE_YOUR_CALM, Flood, Frame,
        HEADERS, MALFORMED_HEADERS, PING, PINGS, Peer, RAPID_RESET, SETTINGS_FLOOD,
        frame, rpc,
    },
};

const SOON: Duration = Duration::from_secs(20);

/// More than the server should take of what it does not want.
const ROUNDS: u32 = 10_000;

/// Floods a gateway by a peer that reads as well, until it is stopped or has
/// had its say; returns what it was sent, and the rounds that it got rid of.
async fn flood(gateway: &Gateway, flood: Flood) -> (Vec<Frame>, u32) {
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    peer.send(&(flood.start)()).await.unwrap();
    let mut reader = peer.reader;
    let mut writer = peer.writer;
    let reading = tokio::spawn(async move { reader.rest().await });
    let mut rounds = 0;
    while rounds < ROUNDS {
        let batch: Vec<u8> = (rounds..rounds + 20).flat_map(flood.round).collect();
        if tokio::io::AsyncWriteExt::write_all(&mut writer, &batch).await.is_err() {
            break;
        }
        rounds += 20;
    }
    drop(writer);
    let frames = timeout(SOON, reading).await.expect("the connection ends").unwrap();
    (frames, rounds)
}

async fn is_ended(of: Flood) {
    let gateway = Gateway::on_sandbox().await;
    let (frames, rounds) = flood(&gateway, of).await;
    assert!(rounds < ROUNDS, "{}: it was never stopped", of.name);
    let goaway = frames.iter().find_map(Frame::goaway);
    let (_, code, debug) = goaway.unwrap_or_else(|| panic!("{}: no GOAWAY", of.name));
    assert_eq!(code, ENHANCE_YOUR_CALM, "{}", of.name);
    assert_eq!(Some(debug.as_str()), of.ends, "{}", of.name);
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    is_ended(RAPID_RESET).await;
}

#[tokio::test]
async fn malformed_headers_end_the_connection() {
    is_ended(MALFORMED_HEADERS).await;
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    is_ended(CONTINUATIONS).await;
}

#[tokio::test]
async fn empty_data_without_end_ends_the_connection() {
    is_ended(EMPTY_DATA).await;
}

#[tokio::test]
async fn settings_and_pings_are_acknowledged_one_by_one() {
    let gateway = Gateway::on_sandbox().await;
    for of in [SETTINGS_FLOOD, PINGS] {
        let (frames, rounds) = flood(&gateway, of).await;
        assert_eq!(rounds, ROUNDS, "{}", of.name);
        let kind = (of.round)(0)[3];
        let acknowledged =
            frames.iter().filter(|frame| frame.kind == kind && frame.flags == ACK);
        // Beside those of the flood, the settings of the greeting.
        let extra = usize::from(kind == crate::support::frames::SETTINGS);
        assert_eq!(acknowledged.count(), ROUNDS as usize + extra, "{}", of.name);
    }
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read_from_either() {
    let gateway = Gateway::on_sandbox().await;
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    for of in [SETTINGS_FLOOD, PINGS] {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        let batch: Vec<u8> = (0..20_000).flat_map(of.round).collect();
        // The server's answers fill what the system keeps for the peer; then
        // the server stops reading, and the peer's own writes wait.
        let mut sent = 0;
        while let Ok(wrote) = timeout(Duration::from_millis(500), peer.send(&batch)).await
        {
            wrote.unwrap();
            sent += 1;
            assert!(sent < 1000, "{}: the server reads without end", of.name);
        }
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    }
}

/// Opens RPCs whose bodies never come: many on each of a few connections, a few
/// on each of many. Returns once the server has read them.
async fn hold_back(gateway: &Gateway, path: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    for streams in [100; 6].into_iter().chain([4; 134]) {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in 0..streams {
            let headers = frame(HEADERS, END_HEADERS, 2 * stream + 1, &rpc(path, &[]));
            peer.send(&headers).await.unwrap();
        }
        peer.send(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
        let is_ack = |frame: &Frame| frame.kind == PING && frame.flags == ACK;
        timeout(SOON, peer.reader.find(is_ack)).await.unwrap().unwrap();
        peers.push(peer);
    }
    peers
}

#[tokio::test]
async fn requests_that_are_held_back_lock_nobody_out() {
    let gateway = Gateway::on_sandbox().await;
    let list = format!("/{SERVICE}/ListPartnerSharedConnections");
    let health = "/grpc.health.v1.Health/Check";
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut held = Vec::new();
    for path in [health, reflection, &list] {
        held.extend(hold_back(&gateway, path).await);
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok, "{path}: {}", reply.message());
        let check = Caller::list(gateway.address).path(health).body(vec![0; 5]);
        assert_eq!(check.send().await.code(), Code::Ok, "{path}");
    }
}

#[tokio::test]
async fn large_requests_that_are_held_back_are_shed() {
    let gateway = Gateway::on_sandbox().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let url =
        format!("http://{}/{SERVICE}/ListPartnerSharedConnections", gateway.address);
    let mut answers = Vec::new();
    let mut bodies = Vec::new();
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    for _ in 0..60 {
        let request = Request::post(&url).header("content-type", "application/grpc");
        send = send.ready().await.unwrap();
        let request = request.body(()).unwrap();
        let (answer, mut body) = send.send_request(request, false).unwrap();
        body.send_data(vec![0; 60_000].into(), false).unwrap();
        answers.push(answer);
        bodies.push(body);
    }
    // Far sooner than a body which does not end is given up.
    let answer = timeout(Duration::from_secs(5), select_all(answers)).await;
    let answer = answer.expect("none of them is refused").0.unwrap();
    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    connection.abort();
}
