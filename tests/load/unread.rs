//! Peers that ask, and take no answer.

use std::{net::SocketAddr, time::Duration};

use polytomic_gateway::{
    proto::ListPartnerSharedConnectionsRequest,
    sandbox::seed::{OWNER_ORGANIZATION, PARTNER_KEY, SHARED_CONNECTION},
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
    caller::{self, LIST},
    frames::{
        DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PREFACE, Peer, SETTINGS,
        WINDOW_UPDATE, frame, rpc,
    },
};

use crate::{
    attacks::{OPENED, close, pace},
    balanced::WATCH,
    environment::{LARGE, large_upstream},
    harness::{Attack, Harness, MEMORY},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// What reflection is asked for: a file with all that it imports.
const SYMBOL: &str = "polytomic.connections.v1.PartnerSharedConnectionsService";

/// The JSON of a large answer.
const LARGE_SIZE: usize = 1 << 20;

/// What bounds answers that are held for such peers, and the KiB that this allows.
const OF_LARGE: &[&str] =
    &["--answer-limit", "1572864", "--answer-memory", "16777216", "--write-timeout", "1"];
const OF_OTHERS: &[&str] = &["--write-timeout", "1"];
const BUDGET: u64 = 16 << 10;

/// Longer than such connections may last, and about as long as it takes to ask.
const LONG: Duration = Duration::from_secs(6);
const SHORT: Duration = Duration::from_secs(1);

/// The pace at which RPCs are asked for that are carried out: unoptimised, a fifth.
const CARRIED_OUT: u32 = if cfg!(debug_assertions) { 5 } else { 1 };

/// How a peer takes no answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Refusal {
    /// It allows as much as there is, and does not read from its socket.
    Deaf,
    /// It reads, and allows so many bytes of each answer.
    Window(u32),
}

/// Runs every attack, or those whose name holds a word; returns the promises that
/// were not kept.
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
    let asked = [
        ("lists of 1 MiB", LIST, list(LARGE).encode_to_vec()),
        ("lists of 1 kB", LIST, list(SHARED_CONNECTION).encode_to_vec()),
        ("health checks", CHECK, health.clone()),
        ("health watches", WATCH, health),
        ("files by reflection", REFLECTION, question.encode_to_vec()),
    ];
    let refusals = [
        ("not read", Refusal::Deaf),
        ("without a window", Refusal::Window(0)),
        ("with a window of 1 byte", Refusal::Window(1)),
    ];
    for (rpcs, path, message) in &asked {
        let is_large = rpcs.contains("MiB");
        for (how, refusal) in refusals {
            let make = |address, until| {
                ask(address, path, caller::frame(message), refusal, until)
            };
            let what = format!("40 × 100 {rpcs}, {how}");
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
            // To ask the upstream is work, whoever does. Unoptimised, this would
            // only tell how slow the gateway then is.
            if *path == LIST && !cfg!(debug_assertions) {
                let what = format!("{what}, again and again");
                let attack = Attack { what: &what, length: SHORT, times: 5, ..attack };
                harness.attacked(attack, make).await;
            }
        }
    }
    harness.broken()
}

/// Sends an RPC on each of 40 × 100 streams, and takes no answer; returns how many
/// GOAWAYs came.
async fn ask(
    address: SocketAddr,
    path: &'static str,
    body: Vec<u8>,
    refusal: Refusal,
    until: Instant,
) -> usize {
    let authorization = format!("Bearer {PARTNER_KEY}");
    let headers = rpc(path, &[("authorization", &authorization)]);
    let mut pace = pace();
    let ticks = if path == LIST { CARRIED_OUT } else { 1 };
    let mut peers = Vec::new();
    let mut goaways = JoinSet::new();
    for _ in 0..40 {
        let Peer { mut reader, mut writer } = greet(address, refusal).await;
        if refusal == Refusal::Deaf {
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
            let ask = |number| {
                let stream = 2 * number + 1;
                let head = frame(HEADERS, END_HEADERS, stream, &headers);
                [head, frame(DATA, END_STREAM, stream, &body)].concat()
            };
            let batch: Vec<u8> = (first..first + OPENED).flat_map(ask).collect();
            // Where it fails, the connection has been ended.
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

/// Connects, and says what is allowed to be sent.
async fn greet(address: SocketAddr, refusal: Refusal) -> Peer {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MOST: u32 = (1 << 31) - 1;
    let window = match refusal {
        Refusal::Deaf => MOST,
        Refusal::Window(window) => window,
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
