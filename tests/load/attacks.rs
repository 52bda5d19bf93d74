//! What misbehaving peers do, each until an instant.
//!
//! All keep a pace: 25,000 rounds a second of a flood, or 5,000 streams or
//! connections that are opened. As fast as they can, they would take the
//! processors from the gateway by their own work; and 25,000 streams a second are
//! a processor's whole work for the gateway, whoever opens them.

use std::{collections::VecDeque, future::pending, net::SocketAddr, time::Duration};

use bytes::Bytes;
use kit::{
    caller::METADATA,
    connection::Connection,
    frames::{END_HEADERS, Flood, Frame, HEADERS, PREFACE, Peer, frame, rpc},
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout_at},
};

/// What is sent, or opened, at each tick.
const BATCH: u32 = 25;
pub(crate) const OPENED: u32 = 5;
const PACE: Duration = Duration::from_millis(1);

/// A batch at each tick, and none for ticks that were missed.
pub(crate) fn pace() -> Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pace
}

/// What came of a flood.
#[derive(Debug, Default)]
pub(crate) struct Flooded {
    /// The rounds that the system has taken.
    pub(crate) rounds: u32,
    pub(crate) ended: Vec<Ended>,
}

/// A connection that the gateway has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) rounds: u32,
    /// The debug data of the GOAWAY, if one came and was read.
    pub(crate) goaway: Option<String>,
}

/// Floods one connection, and the next when that is ended.
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

/// Floods one connection until it ends; returns what was said of that.
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

/// Opens 40 × 100 streams, as many as are allowed, whose bodies never come.
pub(crate) async fn hold_back(address: SocketAddr, path: &str, until: Instant) {
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

/// Holds 10,000 connections on which nothing, or half a preface, was said.
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

/// Sends 60 kB on each of 140 × 8 streams, and nothing after that.
pub(crate) async fn hold_back_large(
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
            let (answer, mut body) = connection.start(path, METADATA).await.unwrap();
            body.send_data(vec![0; 60_000].into(), false).unwrap();
            streams.push((answer, body));
        }
        peers.push((connection, streams));
    }
    sleep_until(until).await;
    close(peers, 1).await;
}

/// Sends a byte a second on each of 40 × 100 streams until all are answered;
/// returns how many were.
pub(crate) async fn drip(
    address: SocketAddr,
    path: &'static str,
    until: Instant,
) -> usize {
    let mut pace = pace();
    let mut peers = Vec::new();
    let mut answers = JoinSet::new();
    let mut bodies = VecDeque::new();
    for _ in 0..40 {
        let (connection, _) = Connection::open(address).await.unwrap();
        for number in 0..100 {
            if number % OPENED == 0 {
                pace.tick().await;
            }
            let (answer, body) = connection.start(path, METADATA).await.unwrap();
            answers.spawn(answer);
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
    let mut answered = 0;
    let ending = async {
        while let Some(answer) = answers.join_next().await {
            answered += usize::from(answer.unwrap().is_ok());
        }
    };
    tokio::select! {
        () = dripping => {}
        () = ending => {}
        () = sleep_until(until) => {}
    }
    answered
}

/// Closes connections, `batch` at each tick.
pub(crate) async fn close<P>(mut peers: Vec<P>, batch: usize) {
    let mut pace = pace();
    while !peers.is_empty() {
        pace.tick().await;
        peers.truncate(peers.len().saturating_sub(batch));
    }
}
