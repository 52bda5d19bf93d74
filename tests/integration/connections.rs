//! The lifetime of a connection: its preface, its age, its end.

use std::time::Duration;

use kit::{
    Caller, Fake, Gateway, HANG_GUARD,
    caller::{KEY, LIST, METADATA, SERVICE, frame as message, list_request},
    connection::Connection,
    fake::{Script, Step},
    frames::{
        ACK, CANCEL, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING,
        PREFACE, Peer, RST_STREAM, SETTINGS, frame, request, rpc,
    },
    held::Held,
    log::Log,
    over_both, until,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Code;
use tonic_types::StatusExt;

/// The last stream of a GOAWAY that announces another.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// Waits until the server has closed the connection; returns what it sent.
async fn ended(peer: &mut Peer) -> Vec<Frame> {
    timeout(HANG_GUARD, peer.reader.rest()).await.expect("the connection is still open")
}

#[tokio::test]
async fn connection_without_a_preface_is_closed() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::with(&fake, &["--handshake-timeout", "0.2"]).await;
    for start in [0, 1, 12, PREFACE.len() - 1] {
        let started = Instant::now();
        let mut peer = Peer::connect(gateway.address).await.unwrap();
        peer.send(&PREFACE[..start]).await.unwrap();
        assert!(ended(&mut peer).await.is_empty());
        assert!(started.elapsed() >= Duration::from_millis(200), "{start} bytes");
    }
}

/// Starts a gateway on its own sandbox.
async fn serving(flags: &[&str]) -> Gateway {
    Gateway::on_sandbox_with(&[&["--no-key-check"], flags].concat()).await
}

/// Connects, and waits until the gateway serves the connection.
async fn silent(gateway: &Gateway) -> Peer {
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let first = timeout(HANG_GUARD, peer.reader.next()).await.unwrap();
    assert_eq!(first.expect("the connection is served").kind, SETTINGS);
    peer
}

/// Connects, and has an RPC served.
async fn used(gateway: &Gateway) -> Connection {
    let (connection, _) = Connection::open(gateway.address).await.unwrap();
    assert!(is_served(&connection).await);
    connection
}

async fn is_served(connection: &Connection) -> bool {
    let body = message(&list_request().encode_to_vec());
    let reply = timeout(HANG_GUARD, connection.call(LIST, METADATA, body)).await;
    reply.expect("the RPC ends").is_ok_and(|reply| reply.code() == Code::Ok)
}

/// Waits until a new connection is served.
async fn await_room(gateway: &Gateway) -> Connection {
    let served = async {
        loop {
            let Ok((connection, _)) = Connection::open(gateway.address).await else {
                continue;
            };
            if is_served(&connection).await {
                return connection;
            }
        }
    };
    timeout(HANG_GUARD, served).await.expect("a new connection is served")
}

#[tokio::test]
async fn connection_over_max_connections_is_closed() {
    let gateway = serving(&["--max-connections", "2"]).await;
    let (first, second) = (used(&gateway).await, used(&gateway).await);
    let mut third = Peer::connect(gateway.address).await.unwrap();
    assert!(ended(&mut third).await.is_empty());
    assert!(is_served(&first).await && is_served(&second).await);
    drop(first);
    await_room(&gateway).await;
}

#[tokio::test]
async fn silent_connections_keep_no_client_out() {
    const LIMIT: usize = 50;

    let log = Log::keep();
    let limit = LIMIT.to_string();
    let gateway = serving(&["--max-connections", &limit]).await;
    let mut peers = Vec::new();
    for _ in 0..LIMIT {
        peers.push(silent(&gateway).await);
    }
    // Each ends one silent connection, the oldest first.
    let mut clients = Vec::new();
    for peer in &mut peers {
        clients.push(used(&gateway).await);
        assert_eq!(goaway(peer).await, 0, "no stream was processed");
        assert!(ended(peer).await.is_empty());
    }
    for client in &clients {
        assert!(is_served(client).await);
    }
    let mut late = Peer::connect(gateway.address).await.unwrap();
    assert!(ended(&mut late).await.is_empty());
    let rejected = log.all().into_iter().filter_map(|line| {
        (line["message"] == "connections rejected").then(|| line["reason"].clone())
    });
    let reasons =
        ["ended for another at the connection limit", "connection limit reached"];
    assert_eq!(rejected.collect::<Vec<_>>(), reasons);
}

#[tokio::test]
async fn connections_turned_away_keep_no_client_out() {
    const LIMIT: usize = 4;

    let gateway = serving(&["--max-connections", "4"]).await;
    for junk in ["GET / HTTP/1.1\r\n\r\n", "junk"] {
        let mut peers = Vec::new();
        for _ in 0..LIMIT {
            let mut peer = TcpStream::connect(gateway.address).await.unwrap();
            peer.write_all(junk.as_bytes()).await.unwrap();
            // The gateway has responded, and lingers for the rest of the request.
            let mut response = Vec::new();
            let end = peer.read_to_end(&mut response);
            timeout(HANG_GUARD, end).await.unwrap().unwrap();
            peers.push(peer);
        }
        let mut clients = Vec::new();
        for _ in 0..LIMIT {
            clients.push(used(&gateway).await);
        }
        drop(clients);
        drop(await_room(&gateway).await);
    }
}

#[tokio::test]
async fn old_connection_without_an_rpc_keeps_no_client_out() {
    let flags = ["--max-connections", "1", "--max-connection-age", "0.2"];
    let gateway =
        serving(&[&flags[..], &["--max-connection-age-grace", "0"]].concat()).await;
    let mut peer = silent(&gateway).await;
    assert_eq!(goaway(&mut peer).await, ANY_STREAM);
    // It does not answer the PING that would end the connection, nor those by which the
    // gateway finds out after 30 s or more that a peer is gone.
    let began = Instant::now();
    await_room(&gateway).await;
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(goaway(&mut peer).await, 0, "no stream was processed");
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let gateway = serving(&["--max-connections-per-address", "1"]).await;
    let first = used(&gateway).await;
    let mut second = Peer::connect(gateway.address).await.unwrap();
    assert!(ended(&mut second).await.is_empty());
    assert!(is_served(&first).await);
    drop(first);
    await_room(&gateway).await;
}

/// Waits for a GOAWAY without an error; returns its last stream.
async fn goaway(peer: &mut Peer) -> u32 {
    let goaway = timeout(HANG_GUARD, peer.reader.find(|frame| frame.kind == GOAWAY));
    let (last, code, _) = goaway.await.unwrap().unwrap().goaway().unwrap();
    assert_eq!(code, 0);
    last
}

#[tokio::test]
async fn idle_connection_gets_a_goaway() {
    let gateway = serving(&["--max-connection-idle", "0.2"]).await;
    let mut peer = Peer::connect(gateway.address).await.unwrap();
    // In one write, so that the RPC is not late on a busy machine.
    let rpc = request(1, LIST, KEY, &list_request().encode_to_vec());
    let settings = frame(SETTINGS, 0, 0, &[]);
    peer.send(&[PREFACE, &settings, &rpc].concat()).await.unwrap();
    assert_eq!(goaway(&mut peer).await, ANY_STREAM);
}

#[tokio::test]
async fn connection_without_an_rpc_is_closed() {
    for (idle, limit) in [("300", 30), ("0", 30), ("7", 7)] {
        let gateway = serving(&["--max-connection-idle", idle]).await;
        let started = Instant::now();
        let mut peer = silent(&gateway).await;
        // The clock now advances only while everything waits, by the next timer.
        tokio::time::pause();
        let paused = Instant::now();
        assert_eq!(goaway(&mut peer).await, 0, "no stream was processed");
        assert!(ended(&mut peer).await.is_empty());
        let (most, least) = (started.elapsed(), paused.elapsed());
        tokio::time::resume();
        let limit = Duration::from_secs(limit);
        assert!(most >= limit && least < limit + Duration::from_secs(1), "{most:?}");
    }
}

/// Cancels RPCs in one write, while others are in flight on the connection.
async fn assert_burst(cancelled: u32, others: u32) {
    let gateway = serving(&[]).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let message = list_request().encode_to_vec();
    let open = |number| request(2 * number + 1, LIST, KEY, &message);
    let cancel = |number| frame(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes());
    let all = others + cancelled;
    let write: Vec<u8> =
        (0..all).flat_map(open).chain((others..all).flat_map(cancel)).collect();
    peer.send(&write).await.unwrap();
    let mut responses = 0;
    while responses < others {
        let next = timeout(HANG_GUARD, peer.reader.next()).await.unwrap();
        let frame = next.unwrap_or_else(|| panic!("{cancelled}: {responses} responses"));
        assert_ne!(frame.kind, GOAWAY, "{cancelled}");
        responses += u32::from(frame.kind == DATA && frame.stream < 2 * others);
    }
    peer.send(&open(all)).await.unwrap();
    let is_response = |frame: &Frame| frame.kind == DATA && frame.stream > 2 * all;
    let response = timeout(HANG_GUARD, peer.reader.find(is_response)).await.unwrap();
    assert!(response.is_some(), "{cancelled}: the connection is open");
}

#[tokio::test]
async fn burst_of_cancels_ends_no_other_rpc() {
    for (cancelled, others) in [(25, 25), (50, 50), (99, 1)] {
        assert_burst(cancelled, others).await;
    }
}

#[tokio::test]
async fn client_that_cancels_often_keeps_its_connection() {
    let gateway = serving(&[]).await;
    let connection = used(&gateway).await;
    for _ in 0..4 {
        let mut calls = Vec::new();
        for _ in 0..99 {
            calls.push(connection.start(LIST, METADATA).await.unwrap());
        }
        assert!(is_served(&connection).await);
        drop(calls);
        assert!(is_served(&connection).await);
    }
}

/// Opens an RPC on stream 1, which the upstream holds.
async fn list(peer: &mut Peer) {
    let request = request(1, LIST, KEY, &list_request().encode_to_vec());
    peer.send(&request).await.unwrap();
}

#[tokio::test]
async fn old_connection_gets_two_goaways_and_its_response() {
    let upstream = Held::start().await;
    let flags = ["--max-connection-age", "0.3"];
    let gateway = Gateway::at(&upstream.url(), &flags).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    list(&mut peer).await;
    let mut request = upstream.request().await;

    let is_end = |frame: &Frame| frame.kind == GOAWAY;
    let first = timeout(HANG_GUARD, peer.reader.find(is_end)).await.unwrap().unwrap();
    assert_eq!(first.goaway().unwrap().0, ANY_STREAM);
    let ping = peer.reader.find(|frame| frame.kind == PING).await.unwrap();
    peer.send(&frame(PING, ACK, 0, &ping.payload)).await.unwrap();
    let second = peer.reader.find(is_end).await.unwrap();
    assert_eq!(second.goaway().unwrap().0, 1, "the RPC in flight is the last");

    request.answer().await;
    let rest = ended(&mut peer).await;
    let response: Vec<(u8, u32)> =
        rest.iter().map(|frame| (frame.kind, frame.stream)).collect();
    assert_eq!(response, [(HEADERS, 1), (DATA, 1), (HEADERS, 1)]);
}

#[tokio::test]
async fn old_connection_is_closed_after_its_grace() {
    let log = Log::keep();
    let upstream = Held::start().await;
    let flags = ["--max-connection-age", "0.2", "--max-connection-age-grace", "0.2"];
    let gateway = Gateway::at(&upstream.url(), &flags).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    list(&mut peer).await;
    let request = upstream.request().await;
    assert!(ended(&mut peer).await.iter().any(|frame| frame.kind == GOAWAY));
    timeout(HANG_GUARD, request.given_up()).await.unwrap();
    let line = timeout(HANG_GUARD, log.rpc()).await.expect("the RPC logs a line");
    assert_eq!(line["code"], "Unavailable");
    assert_eq!(line["reason"], "CONNECTION_ENDED");
}

/// Checks that an RPC is aborted when its client leaves.
async fn assert_aborted(leave: impl AsyncFnOnce(&mut Peer)) {
    let log = Log::keep();
    let upstream = Held::start().await;
    let gateway = Gateway::at(&upstream.url(), &[]).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    list(&mut peer).await;
    let request = upstream.request().await;
    leave(&mut peer).await;
    timeout(HANG_GUARD, request.given_up())
        .await
        .expect("the upstream request is aborted");
    let line = timeout(HANG_GUARD, log.rpc()).await.expect("the RPC logs a line");
    assert_eq!(line["code"], "Cancelled");
    assert_eq!(line["reason"], "CANCELLED");
    assert_eq!(line["attempts"], 1);
    drop(peer);
    gateway.stop().await;
    assert_eq!(log.rpcs().len(), 1);
}

#[tokio::test]
async fn cancelled_rpc_is_aborted() {
    assert_aborted(async |peer| {
        let reason = CANCEL.to_be_bytes();
        peer.send(&frame(RST_STREAM, 0, 1, &reason)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn rpc_of_a_closed_connection_is_aborted() {
    assert_aborted(async |peer| peer.writer.shutdown().await.unwrap()).await;
}

#[tokio::test]
async fn cancelled_rpc_ends_its_upstream_request_and_no_other() {
    over_both(async |protocol| {
        let script = Script::new(protocol, vec![vec![Step::Stall], vec![Step::Answer]]);
        let fake = Fake::playing(script).await;
        let gateway = Gateway::on(&fake).await;
        let rpc = tokio::spawn(Caller::list(gateway.address).send());
        until(|| fake.seen().len() == 1).await;
        assert_eq!(fake.deserted(), 0);
        rpc.abort();
        until(|| fake.deserted() == 1).await;
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
        assert_eq!(fake.seen().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn each_rpc_logs_one_line() {
    let log = Log::keep();
    let fake = Fake::json(200, r#"{"data":[]}"#).await;
    let gateway = Gateway::on(&fake).await;
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    gateway.stop().await;
    let [line] = &log.rpcs()[..] else { panic!("{:?}", log.rpcs()) };
    assert_eq!(line["message"], "RPC ended");
    assert_eq!(line["code"], "Ok");
    let duration = line["duration_ms"].to_string();
    let decimals = duration.split_once('.').map_or("", |(_, decimals)| decimals);
    assert!(decimals.len() <= 3, "{duration}");
}

#[tokio::test]
async fn protocol_error_ends_only_its_connection() {
    let fake = Fake::json(200, r#"{"data":[]}"#).await;
    let gateway = Gateway::on(&fake).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    peer.send(&frame(DATA, 0, 1, b"no stream")).await.unwrap();
    let frames = ended(&mut peer).await;
    assert!(
        frames.iter().any(|frame| frame.goaway().is_some_and(|(_, code, _)| code == 1))
    );
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn deadline_counts_from_the_headers() {
    let log = Log::keep();
    let fake = Fake::answering([]).await;
    // A client's deadline would also end the wait for the body.
    let gateway = Gateway::with(&fake, &["--timeout", "1"]).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let key = format!("Bearer {KEY}");
    let headers = rpc(LIST, &[("authorization", &key)]);
    peer.send(&frame(HEADERS, END_HEADERS, 1, &headers)).await.unwrap();
    // A PING is acknowledged after the frames before it were processed.
    for _ in 0..3 {
        peer.send(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
        peer.reader.find(|frame| frame.kind == PING).await.unwrap();
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let body = message(&list_request().encode_to_vec());
    peer.send(&frame(DATA, END_STREAM, 1, &body)).await.unwrap();
    let line = timeout(HANG_GUARD, log.rpc()).await.expect("the RPC logs a line");
    assert_eq!(line["code"], "DeadlineExceeded");
    assert_eq!(fake.seen().len(), 0, "its deadline had passed");
}

#[tokio::test]
async fn incomplete_request_ends_at_its_deadline() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    let (connection, _) = Connection::open(gateway.address).await.unwrap();
    let path = format!("/{SERVICE}/CreatePartnerSharedConnection");
    let metadata = [("content-type", "application/grpc"), ("grpc-timeout", "500m")];
    let (response, _body) = connection.start(&path, metadata).await.unwrap();
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    let started = Instant::now();
    let response = response.await.unwrap();
    let took = started.elapsed();
    // Shortly before the client's own timer.
    let expected = Duration::from_millis(450)..Duration::from_millis(500);
    assert!(expected.contains(&took), "{took:?}");
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "DEADLINE_EXCEEDED");
    assert_eq!(info.metadata["outcome"], "NOT_SENT");
    assert_eq!(info.metadata["attempts"], "0");
}
