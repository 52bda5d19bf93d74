//! Attacks by misbehaving peers, each until an instant.
//!
//! All have a limited rate: 25,000 rounds of a flood per second, or 5,000 new streams or
//! connections. Without a limit, their own work would take the processors from the
//! gateway; and 25,000 new streams per second saturate a processor of the gateway,
//! even without an attack.

use std::{collections::VecDeque, future::pending, net::SocketAddr, time::Duration};

use crate::balanced::list;
use bytes::Bytes;
use kit::{
    caller::{KEY, METADATA},
    connection::Connection,
    frames::{
        self, END_HEADERS, END_STREAM, Flood, Frame, HEADERS, PREFACE, Peer, frame,
        indexed_field, repeated_field, rpc,
    },
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout_at},
};

/// Rounds per tick, and streams or connections opened per tick.
const BATCH: u32 = 25;
pub(crate) const OPENED: u32 = 5;
const PACE: Duration = Duration::from_millis(1);

/// Returns the ticks. Missed ticks are skipped.
pub(crate) fn pace() -> Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pace
}

/// The result of a flood.
#[derive(Debug, Default)]
pub(crate) struct Flooded {
    /// The rounds written to sockets.
    pub(crate) rounds: u32,
    pub(crate) ended: Vec<Ended>,
}

/// A connection that the gateway ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) rounds: u32,
    /// The debug data of the GOAWAY, if one came and was read.
    pub(crate) goaway: Option<String>,
}

/// Floods one connection, and another after the gateway ended it.
pub(crate) async fn flood(
    address: SocketAddr,
    flood: Flood,
    deaf: bool,
    until: Instant,
) -> Flooded {
    let mut flooded = Flooded::default();
    let mut pace = pace();
    loop {
        let mut rounds = 0;
        let connection = connection(address, flood, deaf, &mut pace, &mut rounds);
        let goaway = timeout_at(until, connection).await;
        flooded.rounds += rounds;
        let Ok(goaway) = goaway else { return flooded };
        flooded.ended.push(Ended { rounds, goaway });
    }
}

/// Floods one connection until it ends. Returns the GOAWAY's debug data.
async fn connection(
    address: SocketAddr,
    flood: Flood,
    deaf: bool,
    pace: &mut Interval,
    rounds: &mut u32,
) -> Option<String> {
    let mut peer = Peer::greet(address).await.unwrap();
    peer.send(&(flood.start)()).await.unwrap();
    let Peer { mut reader, mut writer } = peer;
    let writing = async {
        loop {
            pace.tick().await;
            let batch: Vec<u8> =
                (*rounds..*rounds + BATCH).flat_map(flood.round).collect();
            if writer.write_all(&batch).await.is_err() {
                return;
            }
            *rounds += BATCH;
        }
    };
    let reading = async {
        if deaf {
            return None;
        }
        let frames = reader.rest().await;
        frames.iter().find_map(Frame::goaway).map(|(_, _, debug)| debug)
    };
    tokio::join!(writing, reading).1
}

/// Opens 40 × 100 streams, the maximum, and sends no bodies.
pub(crate) async fn open_incomplete(address: SocketAddr, path: &str, until: Instant) {
    let mut pace = pace();
    let mut peers = Vec::new();
    for _ in 0..40 {
        let mut peer = Peer::greet(address).await.unwrap();
        for first in (0..100).step_by(OPENED as usize) {
            pace.tick().await;
            let open =
                |number| frame(HEADERS, END_HEADERS, 2 * number + 1, &rpc(path, &[]));
            let batch: Vec<u8> = (first..first + OPENED).flat_map(open).collect();
            peer.send(&batch).await.unwrap();
        }
        peers.push(peer);
    }
    sleep_until(until).await;
    close(peers, 1).await;
}

/// Where the fields of [`send_expanding`] are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expanding {
    Headers,
    Trailers,
}

/// Fields of one byte each that fit into a header list of 16 KiB, at 33 bytes each.
const EXPANDING: usize = 450;

/// Opens streams with hundreds of header fields, of one byte each once they are in the
/// table of the connection.
pub(crate) async fn send_expanding(
    address: SocketAddr,
    path: &str,
    expanding: Expanding,
    [connections, streams]: [u32; 2],
    until: Instant,
) {
    let mut pace = pace();
    let mut peers = Vec::new();
    let expanded = repeated_field(EXPANDING);
    for _ in 0..connections {
        let mut peer = Peer::greet(address).await.unwrap();
        let first = [rpc(path, &[]), indexed_field("x", "")].concat();
        peer.send(&frame(HEADERS, END_HEADERS, 1, &first)).await.unwrap();
        let open = |number| {
            let (stream, headers) = (2 * number + 1, rpc(path, &[]));
            if expanding == Expanding::Headers {
                let headers = [headers, expanded.clone()].concat();
                return frame(HEADERS, END_HEADERS, stream, &headers);
            }
            let end = END_HEADERS | END_STREAM;
            [
                frame(HEADERS, END_HEADERS, stream, &headers),
                frame(HEADERS, end, stream, &expanded),
            ]
            .concat()
        };
        for first in (1..streams).step_by(OPENED as usize) {
            pace.tick().await;
            let batch: Vec<u8> = (first..first + OPENED).flat_map(open).collect();
            // A failure means that the gateway has ended the connection.
            let _ = peer.send(&batch).await;
        }
        peers.push(peer);
    }
    sleep_until(until).await;
    close(peers, OPENED as usize).await;
}

/// Opens 10,000 connections, and sends half a preface on every second one.
pub(crate) async fn idle(address: SocketAddr, until: Instant) {
    let mut pace = pace();
    let mut peers = Vec::new();
    for number in 0..10_000 {
        if number % OPENED == 0 {
            pace.tick().await;
        }
        let Ok(mut peer) = Peer::connect(address).await else { continue };
        if number % 2 == 0 {
            let _ = peer.send(&PREFACE[..12]).await;
        }
        peers.push(peer);
    }
    sleep_until(until).await;
    close(peers, OPENED as usize).await;
}

/// Opens 10,000 connections, each of which sends SETTINGS and perhaps one request. Returns
/// how many of some clients that connect meanwhile have an RPC served.
pub(crate) async fn silent(
    address: SocketAddr,
    request: Option<&str>,
    until: Instant,
) -> usize {
    let mut pace = pace();
    let mut peers = VecDeque::new();
    let request = request.map(|path| frames::request(1, path, KEY, &[]));
    let mut clients = JoinSet::new();
    for number in 0..10_000 {
        if number % (10_000 / CLIENTS) == 0 {
            clients.spawn(async move {
                let (connection, _) = Connection::open(address).await.ok()?;
                list(&connection).await.ok()
            });
        }
        if number % OPENED as usize == 0 {
            pace.tick().await;
        }
        if let Ok(mut peer) = Peer::greet(address).await {
            if let Some(request) = &request {
                // A failure means that the gateway has ended the connection.
                let _ = peer.send(request).await;
            }
            peers.push_back(peer);
        }
        // The gateway has ended the others.
        if peers.len() > 2000 {
            peers.pop_front();
        }
    }
    let served = clients.join_all().await.into_iter().flatten().count();
    sleep_until(until).await;
    close(peers.into(), OPENED as usize).await;
    served
}

/// The clients of [`silent`].
pub(crate) const CLIENTS: usize = 100;

/// Sends 60 kB of a body on each of 140 × 8 streams.
pub(crate) async fn open_incomplete_large(
    address: SocketAddr,
    path: &'static str,
    until: Instant,
) {
    let mut pace = pace();
    let mut peers = Vec::new();
    for _ in 0..140 {
        pace.tick().await;
        let (connection, _) = Connection::open(address).await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..8 {
            let (response, mut body) = connection.start(path, METADATA).await.unwrap();
            body.send_data(vec![0; 60_000].into(), false).unwrap();
            streams.push((response, body));
        }
        peers.push((connection, streams));
    }
    sleep_until(until).await;
    close(peers, 1).await;
}

/// Sends a byte per second on each of 40 × 100 streams until all have a response.
/// Returns the number of responses.
pub(crate) async fn drip(
    address: SocketAddr,
    path: &'static str,
    until: Instant,
) -> usize {
    let mut pace = pace();
    let mut peers = Vec::new();
    let mut responses = JoinSet::new();
    let mut bodies = VecDeque::new();
    for _ in 0..40 {
        let (connection, _) = Connection::open(address).await.unwrap();
        for number in 0..100 {
            if number % OPENED == 0 {
                pace.tick().await;
            }
            let (response, body) = connection.start(path, METADATA).await.unwrap();
            responses.spawn(response);
            bodies.push_back((Instant::now(), body));
        }
        peers.push(connection);
    }
    let dripping = async {
        while let Some((due, mut body)) = bodies.pop_front() {
            sleep_until(due).await;
            if body.send_data(Bytes::from_static(&[0]), false).is_ok() {
                bodies.push_back((due + Duration::from_secs(1), body));
            }
        }
        pending::<()>().await;
    };
    let mut responded = 0;
    let ending = async {
        while let Some(response) = responses.join_next().await {
            responded += usize::from(response.unwrap().is_ok());
        }
    };
    tokio::select! {
        () = dripping => {}
        () = ending => {}
        () = sleep_until(until) => {}
    }
    responded
}

/// Closes connections, `batch` at each tick.
pub(crate) async fn close<P>(mut peers: Vec<P>, batch: usize) {
    let mut pace = pace();
    while !peers.is_empty() {
        pace.tick().await;
        peers.truncate(peers.len().saturating_sub(batch));
    }
}
