//! Peers that flood the gateway, each for a short while. `just floods` does so for
//! longer, and measures memory and the latency of other clients.

use std::time::Duration;

use futures_util::future::select_all;
use http::Request;
use prost::Message;
use tokio::{net::TcpStream, task::yield_now, time::timeout};
use tonic::Code;

use kit::{
    Caller, Gateway, HANG_GUARD,
    caller::{KEY, LIST, SERVICE, list_request},
    frames::{
        ACK, CONTINUATIONS, DATA, EMPTY_DATA, END_HEADERS, ENHANCE_YOUR_CALM, Flood,
        Frame, GOAWAY, HEADERS, MALFORMED_HEADERS, PING, PINGS, Peer, RAPID_RESET,
        SETTINGS_FLOOD, frame, indexed_field, repeated_field, request, rpc,
    },
};

const SOON: Duration = Duration::from_secs(20);

/// More rounds than the gateway should read of a flood that it ends.
const ROUNDS: u32 = 10_000;

/// Floods a gateway until the connection ends or all rounds are sent; returns the
/// frames that the gateway sent, and the number of rounds sent.
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
        // The gateway has a turn, or the socket's buffers would take all rounds.
        yield_now().await;
    }
    drop(writer);
    let frames = timeout(SOON, reading).await.expect("the connection ends").unwrap();
    (frames, rounds)
}

async fn assert_ended(of: Flood) {
    let gateway = Gateway::on_sandbox().await;
    let (frames, rounds) = flood(&gateway, of).await;
    assert!(rounds < ROUNDS, "{}: the connection was not ended", of.name);
    let goaway = frames.iter().find_map(Frame::goaway);
    let (_, code, debug) = goaway.unwrap_or_else(|| panic!("{}: no GOAWAY", of.name));
    assert_eq!(code, ENHANCE_YOUR_CALM, "{}", of.name);
    assert_eq!(Some(debug.as_str()), of.ends, "{}", of.name);
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    assert_ended(RAPID_RESET).await;
}

#[tokio::test]
async fn malformed_headers_end_the_connection() {
    assert_ended(MALFORMED_HEADERS).await;
}

#[tokio::test]
async fn endless_headers_end_the_connection() {
    assert_ended(CONTINUATIONS).await;
}

#[tokio::test]
async fn endless_empty_data_ends_the_connection() {
    assert_ended(EMPTY_DATA).await;
}

#[tokio::test]
async fn each_settings_frame_and_ping_is_acknowledged() {
    let gateway = Gateway::on_sandbox().await;
    for of in [SETTINGS_FLOOD, PINGS] {
        let (frames, rounds) = flood(&gateway, of).await;
        assert_eq!(rounds, ROUNDS, "{}", of.name);
        let kind = (of.round)(0)[3];
        let acknowledged =
            frames.iter().filter(|frame| frame.kind == kind && frame.flags == ACK);
        // The settings of the client's preface are acknowledged, too.
        let extra = usize::from(kind == kit::frames::SETTINGS);
        assert_eq!(acknowledged.count(), ROUNDS as usize + extra, "{}", of.name);
    }
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn peer_that_does_not_read_is_not_read_from() {
    let gateway = Gateway::on_sandbox().await;
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    for of in [SETTINGS_FLOOD, PINGS] {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        let batch: Vec<u8> = (0..20_000).flat_map(of.round).collect();
        // The gateway's replies fill the socket's buffers. Then the gateway stops
        // reading, and the peer's writes wait.
        let mut sent = 0;
        while let Ok(wrote) = timeout(Duration::from_millis(500), peer.send(&batch)).await
        {
            wrote.unwrap();
            sent += 1;
            assert!(sent < 1000, "{}: the gateway never stops reading", of.name);
        }
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    }
}

/// Opens RPCs without sending their messages: 100 on each of 6 connections, 4 on
/// each of 134. Returns once the gateway has read their headers.
async fn open_incomplete(gateway: &Gateway, path: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    for streams in [100; 6].into_iter().chain([4; 134]) {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in 0..streams {
            let headers = frame(HEADERS, END_HEADERS, 2 * stream + 1, &rpc(path, &[]));
            peer.send(&headers).await.unwrap();
        }
        await_read(&mut peer).await;
        peers.push(peer);
    }
    peers
}

/// Waits until the gateway has read what a peer has sent.
async fn await_read(peer: &mut Peer) {
    peer.send(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
    let is_ack = |frame: &Frame| frame.kind == PING && frame.flags == ACK;
    timeout(SOON, peer.reader.find(is_ack)).await.unwrap().unwrap();
}

#[tokio::test]
async fn incomplete_requests_block_no_others() {
    let gateway = Gateway::on_sandbox().await;
    let list = format!("/{SERVICE}/ListPartnerSharedConnections");
    let health = "/grpc.health.v1.Health/Check";
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut held = Vec::new();
    for path in [health, reflection, &list] {
        held.extend(open_incomplete(&gateway, path).await);
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok, "{path}: {}", reply.message());
        let check = Caller::list(gateway.address).path(health).body(vec![0; 5]);
        assert_eq!(check.send().await.code(), Code::Ok, "{path}");
    }
}

/// Waits until an RPC with hundreds of metadata fields ends with `code`.
async fn await_code(gateway: &Gateway, code: Code) {
    let ended = async {
        loop {
            let call = (0..EXPANDED).fold(list(gateway), |call, _| call.with("x", ""));
            let reply = call.send().await;
            if reply.code() == code {
                return reply;
            }
        }
    };
    let reply = timeout(HANG_GUARD, ended).await.expect("the code changes");
    assert!(code == Code::Ok || reply.message().starts_with(NO_METADATA), "{reply:?}");
}

fn list(gateway: &Gateway) -> Caller {
    Caller::list(gateway.address)
}

/// Fields of one byte each that fit into a header list of 16 KiB, at 33 bytes each.
const EXPANDED: usize = 400;

const NO_METADATA: &str = "Limit of large request metadata reached.";

/// Writes a request that puts a field into the table of the connection, and requests that
/// repeat it. None of them ends.
fn expanding(first: u32, number: u32, times: usize) -> Vec<u8> {
    let indexing = [rpc(LIST, &[]), indexed_field("x", "")].concat();
    let expanded = [rpc(LIST, &[]), repeated_field(times)].concat();
    let open = |number| frame(HEADERS, END_HEADERS, first + 2 * number, &expanded);
    let expanded = (1..=number).flat_map(open);
    frame(HEADERS, END_HEADERS, first, &indexing).into_iter().chain(expanded).collect()
}

#[tokio::test]
async fn metadata_that_expands_is_limited_over_all_connections() {
    let gateway = Gateway::on_sandbox().await;
    await_code(&gateway, Code::Ok).await;
    let mut peers = Vec::new();
    // Each connection in turn may hold half of what is left; then, its floor: one.
    for streams in [80, 40, 20, 10, 6, 3, 2, 2].into_iter().chain([1; 25]) {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        peer.send(&expanding(1, streams, EXPANDED)).await.unwrap();
        await_read(&mut peer).await;
        peers.push(peer);
    }
    await_code(&gateway, Code::ResourceExhausted).await;
    // Others notice nothing, not even with a credential of 8 KiB.
    assert_eq!(list(&gateway).send().await.code(), Code::Ok);
    let large = list(&gateway).with("x-credential", &"c".repeat(8 << 10));
    assert_eq!(large.send().await.code(), Code::Ok);
    drop(peers);
    await_code(&gateway, Code::Ok).await;
}

/// Fields of one byte each, of which 64 requests hold what one connection may.
const MOST_EXPANDED: usize = 450;

#[tokio::test]
async fn connection_whose_metadata_are_often_rejected_ends() {
    let gateway = Gateway::on_sandbox().await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    peer.send(&expanding(1, 99, MOST_EXPANDED)).await.unwrap();
    // Nothing is lost of what is on its way.
    let is_end = |frame: &Frame| frame.kind == GOAWAY;
    let first = timeout(SOON, peer.reader.find(is_end)).await.unwrap().unwrap();
    assert_eq!(first.goaway(), Some((0x7fff_ffff, 0, String::new())));
    // The rest of its requests does not come, and no PONG.
    let second = timeout(SOON, peer.reader.find(is_end)).await.unwrap().unwrap();
    assert_eq!(second.goaway(), Some((199, 0, String::new())));
    assert_eq!(timeout(SOON, peer.reader.next()).await.unwrap(), None);
}

#[tokio::test]
async fn client_with_an_rpc_keeps_its_connection_if_metadata_are_rejected() {
    let gateway = Gateway::on_sandbox().await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let message = list_request().encode_to_vec();
    peer.send(&request(1, LIST, KEY, &message)).await.unwrap();
    let is_response = |frame: &Frame| frame.kind == DATA;
    assert!(timeout(SOON, peer.reader.find(is_response)).await.unwrap().is_some());
    peer.send(&expanding(3, 99, MOST_EXPANDED)).await.unwrap();
    let mut rejected = 0;
    while rejected < 33 {
        let frame = timeout(SOON, peer.reader.next()).await.unwrap().unwrap();
        assert_ne!(frame.kind, GOAWAY);
        rejected += usize::from(frame.kind == HEADERS && frame.stream > 3);
    }
    peer.send(&request(301, LIST, KEY, &message)).await.unwrap();
    let is_next = |frame: &Frame| [GOAWAY, DATA].contains(&frame.kind);
    let next = timeout(SOON, peer.reader.find(is_next)).await.unwrap().unwrap();
    assert_eq!((next.kind, next.stream), (DATA, 301));
}

#[tokio::test]
async fn large_incomplete_requests_are_rejected() {
    let gateway = Gateway::on_sandbox().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let url =
        format!("http://{}/{SERVICE}/ListPartnerSharedConnections", gateway.address);
    let mut responses = Vec::new();
    let mut bodies = Vec::new();
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    for _ in 0..60 {
        let request = Request::post(&url).header("content-type", "application/grpc");
        send = send.ready().await.unwrap();
        let request = request.body(()).unwrap();
        let (response, mut body) = send.send_request(request, false).unwrap();
        body.send_data(vec![0; 60_000].into(), false).unwrap();
        responses.push(response);
        bodies.push(body);
    }
    // Sooner than the gateway abandons a message that does not end, after 10 s.
    let response = timeout(Duration::from_secs(5), select_all(responses)).await;
    let response = response.expect("one of them is rejected").0.unwrap();
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    connection.abort();
}
