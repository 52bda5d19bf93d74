//! Which connections end for others at `--max-connections`.

use std::{net::SocketAddr, time::Duration};

use kit::{
    Gateway, HANG_GUARD,
    caller::{KEY, LIST, METADATA, frame as message, list_request},
    connection::Connection,
    frames::{
        ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, Peer, frame,
        request, rpc,
    },
    held::Held,
};
use prost::Message;
use tokio::{
    net::TcpSocket,
    task::JoinSet,
    time::{Instant, advance, pause, resume, timeout},
};
use tonic::Code;

/// The last stream of a GOAWAY that announces another.
const ANY_STREAM: u32 = 0x7fff_ffff;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Requests that anybody can send.
const JUNK: [(&str, &str); 3] =
    [(HEALTH, KEY), ("/unknown.Service/Rpc", KEY), (LIST, "wrong-key")];

/// Starts a gateway that looks up keys, so that it knows the wrong ones.
async fn gateway(flags: &[&str]) -> Gateway {
    Gateway::on_sandbox_with(flags).await
}

/// Sends a request, and waits for the response. Does not answer PINGs.
async fn send(peer: &mut Peer, stream: u32, path: &str, key: &str) {
    let body = if path == LIST { list_request().encode_to_vec() } else { Vec::new() };
    peer.send(&request(stream, path, key, &body)).await.unwrap();
    let is_response = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
    let response = timeout(HANG_GUARD, peer.reader.find(is_response)).await.unwrap();
    assert!(response.is_some(), "{path}: the connection ended");
}

/// Connects peers, each of which has sent one such request.
async fn peers(gateway: &Gateway, number: usize, path: &str, key: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..number {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        send(&mut peer, 1, path, key).await;
        peers.push(peer);
    }
    peers
}

/// Waits for a GOAWAY without an error; returns its last stream.
async fn goaway(peer: &mut Peer) -> u32 {
    let goaway = timeout(HANG_GUARD, peer.reader.find(|frame| frame.kind == GOAWAY));
    let (last, code, _) = goaway.await.unwrap().unwrap().goaway().unwrap();
    assert_eq!(code, 0);
    last
}

async fn ended(peer: &mut Peer) -> Vec<Frame> {
    timeout(HANG_GUARD, peer.reader.rest()).await.expect("the connection is still open")
}

async fn is_served(connection: &Connection) -> bool {
    let body = message(&list_request().encode_to_vec());
    let reply = timeout(HANG_GUARD, connection.call(LIST, METADATA, body)).await;
    reply.expect("the RPC ends").is_ok_and(|reply| reply.code() == Code::Ok)
}

/// Connects, and has an RPC served, or the connection is rejected.
async fn client(address: SocketAddr) -> Option<Connection> {
    let (connection, _) = Connection::open(address).await.ok()?;
    is_served(&connection).await.then_some(connection)
}

#[tokio::test]
async fn silent_peers_with_one_junk_request_keep_no_client_out() {
    const LIMIT: usize = 40;

    for (path, key) in JUNK {
        let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
        let mut peers = peers(&gateway, LIMIT, path, key).await;
        // As many at once as may end for others.
        let mut clients = Vec::new();
        for peer in &mut peers[..LIMIT / 4] {
            let client = client(gateway.address).await;
            clients.push(client.unwrap_or_else(|| panic!("{path}: no client is served")));
            // The oldest ends, and no RPC is lost that is on its way.
            assert_eq!(goaway(peer).await, ANY_STREAM, "{path}");
        }
        // They do not answer the PING between two GOAWAYs.
        for peer in &mut peers[..LIMIT / 4] {
            assert_eq!(goaway(peer).await, 1, "{path}");
            assert!(ended(peer).await.is_empty(), "{path}");
        }
        for client in &clients {
            assert!(is_served(client).await, "{path}");
        }
    }
}

#[tokio::test]
async fn peers_that_send_junk_again_and_again_keep_no_client_out() {
    const LIMIT: usize = 8;

    for (path, key) in JUNK {
        let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
        let mut peers = peers(&gateway, LIMIT, path, key).await;
        for round in 1..4 {
            for peer in &mut peers {
                send(peer, 2 * round + 1, path, key).await;
            }
        }
        let client = client(gateway.address).await.expect("a client is served");
        assert_eq!(goaway(&mut peers[0]).await, ANY_STREAM, "{path}");
        assert!(is_served(&client).await);
    }
}

/// Sends RPCs with made-up keys together, more than the gateway looks up at once, and
/// waits for the responses.
async fn use_up_the_look_ups(peer: &mut Peer) {
    const KEYS: u32 = 100;

    let body = list_request().encode_to_vec();
    let of_key =
        |number| request(2 * number + 1, LIST, &format!("made-up-{number}"), &body);
    peer.send(&(0..KEYS).flat_map(of_key).collect::<Vec<_>>()).await.unwrap();
    let is_response = |frame: &Frame| frame.kind == HEADERS;
    for _ in 0..KEYS {
        let response = timeout(HANG_GUARD, peer.reader.find(is_response)).await.unwrap();
        assert!(response.is_some(), "the connection ended");
    }
}

#[tokio::test]
async fn made_up_keys_that_are_not_looked_up_keep_no_client_out() {
    const LIMIT: usize = 8;

    let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
    let mut peers = Vec::new();
    for _ in 0..LIMIT {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        use_up_the_look_ups(&mut peer).await;
        peers.push(peer);
    }
    let mut clients = Vec::new();
    for _ in 0..LIMIT / 2 {
        clients.push(client(gateway.address).await.expect("a client is served"));
    }
}

#[tokio::test]
async fn peers_with_a_request_that_does_not_end_keep_no_client_out() {
    const LIMIT: usize = 4;

    let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
    let mut peers = peers(&gateway, LIMIT, WATCH, KEY).await;
    let first = client(gateway.address).await.expect("a client is served");
    let oldest = &mut peers[0];
    assert_eq!(goaway(oldest).await, ANY_STREAM);
    let ping = oldest.reader.find(|frame| frame.kind == PING).await.unwrap();
    oldest.send(&frame(PING, ACK, 0, &ping.payload)).await.unwrap();
    assert_eq!(goaway(oldest).await, 1);
    // The clock now advances only while everything waits, by the next timer.
    pause();
    ended(oldest).await;
    resume();
    client(gateway.address).await.expect("another client is served");
    assert!(is_served(&first).await);
}

/// A connection that ends has 5 s, in which others must not wait for its place.
#[tokio::test]
async fn requests_that_do_not_end_delay_no_client() {
    const LIMIT: usize = 4;

    let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
    let _peers = peers(&gateway, LIMIT, WATCH, KEY).await;
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..LIMIT {
        clients.push(client(gateway.address).await.expect("a client is served"));
    }
    // If each waited for the connection that ends for it, 15 s.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for client in &clients {
        assert!(is_served(client).await);
    }
}

#[tokio::test]
async fn connection_that_is_idle_longest_ends_after_5_s() {
    let gateway = gateway(&["--max-connections", "2"]).await;
    let mut idle = peers(&gateway, 1, LIST, KEY).await.remove(0);
    let busy = client(gateway.address).await.unwrap();
    assert!(client(gateway.address).await.is_none());
    pause();
    advance(Duration::from_secs(4)).await;
    resume();
    assert!(is_served(&busy).await);
    assert!(client(gateway.address).await.is_none());
    pause();
    advance(Duration::from_secs(1)).await;
    resume();
    let fresh = client(gateway.address).await.expect("the idle connection ends");
    assert_eq!(goaway(&mut idle).await, ANY_STREAM);
    assert!(client(gateway.address).await.is_none(), "the others are not idle for 5 s");
    assert!(is_served(&busy).await && is_served(&fresh).await);
}

#[tokio::test]
async fn connection_with_an_open_rpc_ends_for_no_other() {
    let upstream = Held::start().await;
    let flags = ["--max-connections", "1", "--timeout", "60", "--attempt-timeout", "60"];
    let gateway = Gateway::at(&upstream.url(), &flags).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let message = list_request().encode_to_vec();
    peer.send(&request(1, LIST, KEY, &message)).await.unwrap();
    let mut request = upstream.request().await;
    pause();
    advance(Duration::from_secs(10)).await;
    resume();
    let mut late = Peer::connect(gateway.address).await.unwrap();
    assert!(ended(&mut late).await.is_empty());
    request.answer().await;
    let is_next = |frame: &Frame| [GOAWAY, DATA].contains(&frame.kind);
    let next = timeout(HANG_GUARD, peer.reader.find(is_next)).await.unwrap().unwrap();
    assert_eq!((next.kind, next.stream), (DATA, 1));
}

#[tokio::test]
async fn rpcs_that_cross_the_goaway_are_served() {
    let gateway = gateway(&["--max-connections", "1"]).await;
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    // One whose message is on its way.
    send(&mut peer, 1, HEALTH, KEY).await;
    let key = format!("Bearer {KEY}");
    let headers = rpc(LIST, &[("authorization", &key)]);
    peer.send(&frame(HEADERS, END_HEADERS, 3, &headers)).await.unwrap();
    peer.send(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
    peer.reader.find(|frame| frame.kind == PING).await.unwrap();

    let client = client(gateway.address).await.expect("a client is served");
    assert_eq!(goaway(&mut peer).await, ANY_STREAM);
    let ping = peer.reader.find(|frame| frame.kind == PING).await.unwrap();
    // One that its client sent before it read the GOAWAY.
    let list = list_request().encode_to_vec();
    peer.send(&request(5, LIST, KEY, &list)).await.unwrap();
    peer.send(&frame(PING, ACK, 0, &ping.payload)).await.unwrap();
    assert_eq!(goaway(&mut peer).await, 5);
    peer.send(&frame(DATA, END_STREAM, 3, &message(&list))).await.unwrap();
    let rest = ended(&mut peer).await;
    let mut responses: Vec<u32> = rest
        .iter()
        .filter_map(|frame| (frame.kind == DATA).then_some(frame.stream))
        .collect();
    responses.sort_unstable();
    assert_eq!(responses, [3, 5]);
    assert!(is_served(&client).await);
}

/// Sends RPCs until the connection ends. Returns how many were served, once one has
/// failed in a way that shows that it was not processed.
async fn race(connection: Connection) -> usize {
    for served in 0.. {
        let body = message(&list_request().encode_to_vec());
        match connection.call(LIST, METADATA, body).await {
            Ok(reply) => assert_eq!(reply.code(), Code::Ok, "{}", reply.message()),
            Err(error) => {
                let reason = error.reason();
                assert!(error.is_go_away() && error.is_remote(), "{error:?}");
                assert_eq!(reason, Some(h2::Reason::NO_ERROR));
                return served;
            }
        }
    }
    unreachable!("the connection ends")
}

#[tokio::test]
async fn no_rpc_of_a_real_client_is_lost_when_its_connection_ends_for_another() {
    const LIMIT: usize = 4;

    for _ in 0..10 {
        let gateway = gateway(&["--max-connections", &LIMIT.to_string()]).await;
        let mut connections = Vec::new();
        for _ in 0..LIMIT {
            let (connection, _) = Connection::open(gateway.address).await.unwrap();
            let check = connection.call(HEALTH, METADATA, message(&[])).await;
            assert_eq!(check.unwrap().code(), Code::Ok);
            connections.push(connection);
        }
        // Their first RPCs cross the GOAWAY of the oldest.
        let mut racing = JoinSet::new();
        let arriving = tokio::spawn(Peer::greet(gateway.address));
        for connection in connections {
            racing.spawn(race(connection));
        }
        let _late = arriving.await.unwrap().unwrap();
        timeout(HANG_GUARD, racing.join_next()).await.unwrap().unwrap().unwrap();
    }
}

/// Connects from another address of this host.
async fn connect_from(local: &str, gateway: &Gateway) -> Connection {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(local.parse().unwrap()).unwrap();
    let stream = socket.connect(gateway.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Connection::over(stream).await.unwrap().0
}

/// Only a limit per address helps against peers that have a key.
#[tokio::test]
async fn busy_clients_of_one_address_leave_connections_to_others() {
    let flags = ["--max-connections", "3", "--max-connections-per-address", "2"];
    let gateway = gateway(&flags).await;
    let first = client(gateway.address).await.unwrap();
    let second = client(gateway.address).await.unwrap();
    assert!(client(gateway.address).await.is_none());
    let other = connect_from("127.0.0.2:0", &gateway).await;
    for connection in [&first, &second, &other] {
        assert!(is_served(connection).await);
    }
}
