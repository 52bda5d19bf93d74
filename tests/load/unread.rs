//! Peers that send RPCs and read no responses.

use std::{net::SocketAddr, time::Duration};

use polytomic_gateway::{
    proto::ListPartnerSharedConnectionsRequest,
    sandbox::seed::{OWNER_ORGANIZATION, SHARED_CONNECTION},
};
use prost::Message;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_request::MessageRequest,
};

use kit::{
    caller::LIST,
    frames::{Frame, PREFACE, Peer, SETTINGS, WINDOW_UPDATE, frame, request},
};

use crate::{
    attacks::{OPENED, close, pace},
    balanced::WATCH,
    environment::{LARGE, large_upstream},
    harness::{Attack, Harness, MEMORY},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// The symbol that reflection is asked for: a file with all its imports.
const SYMBOL: &str = "polytomic.connections.v1.PartnerSharedConnectionsService";

/// The key of the peers. The other clients have one of their own: what a key may hold is
/// shared by all that have it.
const KEY: &str = "sandbox-other-partner-key";

/// The size of a large JSON response.
const LARGE_SIZE: usize = 1 << 20;

/// The limits of responses that the gateway holds, and their sum in KiB.
const OF_LARGE: &[&str] =
    &["--answer-limit", "1572864", "--answer-memory", "16777216", "--write-timeout", "1"];
const OF_OTHERS: &[&str] = &["--write-timeout", "1"];
const BUDGET: u64 = 16 << 10;

/// Longer than such a connection may last, and about the time to send all RPCs.
const LONG: Duration = Duration::from_secs(6);
const SHORT: Duration = Duration::from_secs(1);

/// Ticks between lists, which cost the gateway a request: an unoptimised one is slower.
const TICKS_PER_LIST: u32 = if cfg!(debug_assertions) { 5 } else { 1 };

/// How a peer reads no responses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    /// It grants an unlimited window, and does not read from its socket.
    Deaf,
    /// It reads, and grants each response a window of `n` bytes.
    Window(u32),
}

/// Runs all attacks, or those whose name contains a word. Returns the broken
/// promises.
pub(crate) async fn run(word: &str) -> Vec<String> {
    let harness = Harness::set(word, large_upstream(LARGE_SIZE)).await;
    let list = |connection: &str| ListPartnerSharedConnectionsRequest {
        org_id: OWNER_ORGANIZATION.to_owned(),
        connection_id: connection.to_owned(),
    };
    let symbol = MessageRequest::FileContainingSymbol(SYMBOL.to_owned());
    let question = ServerReflectionRequest {
        message_request: Some(symbol),
        ..ServerReflectionRequest::default()
    };
    let health = HealthCheckRequest::default().encode_to_vec();
    let rpcs = [
        ("lists of 1 MiB", LIST, list(LARGE).encode_to_vec()),
        ("lists of 1 kB", LIST, list(SHARED_CONNECTION).encode_to_vec()),
        ("health checks", CHECK, health.clone()),
        ("health watches", WATCH, health),
        ("files by reflection", REFLECTION, question.encode_to_vec()),
    ];
    let readings = [
        ("not read", Reading::Deaf),
        ("without a window", Reading::Window(0)),
        ("with a window of 1 byte", Reading::Window(1)),
    ];
    for (name, path, message) in &rpcs {
        let is_large = name.contains("MiB");
        for (how, reading) in readings {
            let make =
                |address, until| ask(address, path, message.clone(), reading, until);
            let what = format!("40 × 100 {name}, {how}");
            let attack = Attack {
                flags: if is_large { OF_LARGE } else { OF_OTHERS },
                length: LONG,
                times: 1,
                memory: MEMORY + if is_large { BUDGET } else { 0 },
                ..Attack::of(&what)
            };
            for goaways in harness.attacked(attack, make).await {
                println!("floods:   {goaways} of 40 connections ended by GOAWAY");
            }
            // A request to the upstream is work. With an unoptimised gateway, this would
            // measure that work.
            if *path == LIST && !cfg!(debug_assertions) {
                let what = format!("{what}, again and again");
                let attack = Attack { what: &what, length: SHORT, times: 5, ..attack };
                harness.attacked(attack, make).await;
            }
        }
    }
    harness.broken()
}

/// Sends an RPC on each of 40 × 100 streams, and reads no response. Returns the number
/// of GOAWAYs.
async fn ask(
    address: SocketAddr,
    path: &'static str,
    message: Vec<u8>,
    reading: Reading,
    until: Instant,
) -> usize {
    let mut pace = pace();
    let ticks = if path == LIST { TICKS_PER_LIST } else { 1 };
    let mut peers = Vec::new();
    let mut goaways = JoinSet::new();
    for _ in 0..40 {
        let Peer { mut reader, mut writer } = greet(address, reading).await;
        if reading == Reading::Deaf {
            peers.push((Some(reader), None));
        } else {
            goaways.spawn(async move {
                reader.find(|frame| Frame::goaway(frame).is_some()).await.is_some()
            });
        }
        for first in (0..100).step_by(OPENED as usize) {
            for _ in 0..ticks {
                pace.tick().await;
            }
            let ask = |number| request(2 * number + 1, path, KEY, &message);
            let batch: Vec<u8> = (first..first + OPENED).flat_map(ask).collect();
            // A failure means that the gateway has ended the connection.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, &batch).await;
        }
        peers.push((None, Some(writer)));
    }
    sleep_until(until).await;
    let mut came = 0;
    while let Some(goaway) = goaways.try_join_next() {
        came += usize::from(goaway.unwrap());
    }
    drop(goaways);
    close(peers, 1).await;
    came
}

/// Connects, and grants the windows.
async fn greet(address: SocketAddr, reading: Reading) -> Peer {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MOST: u32 = (1 << 31) - 1;
    let window = match reading {
        Reading::Deaf => MOST,
        Reading::Window(window) => window,
    };
    let settings =
        [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
    let of_connection = (MOST - 65_535).to_be_bytes();
    let mut peer = Peer::connect(address).await.unwrap();
    peer.send(PREFACE).await.unwrap();
    peer.send(&frame(SETTINGS, 0, 0, &settings)).await.unwrap();
    peer.send(&frame(WINDOW_UPDATE, 0, 0, &of_connection)).await.unwrap();
    peer
}
