//! Peers that misbehave for long, and what it costs: the gateway in memory,
//! other callers in time.

use std::{net::SocketAddr, pin::pin, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    callers::{Caller, Outcome},
    frames::{
        CONTINUATIONS, EMPTY_DATA, END_HEADERS, Flood, Frame, HEADERS, MALFORMED_HEADERS,
        PINGS, PREFACE, Peer, RAPID_RESET, SETTINGS_FLOOD, frame, rpc,
    },
    gateway::{ANY_PORT, Gateway, upstream},
};

const FLOODS: [Flood; 6] =
    [RAPID_RESET, MALFORMED_HEADERS, CONTINUATIONS, EMPTY_DATA, SETTINGS_FLOOD, PINGS];

/// The rounds of a flood, over as many connections as it takes.
const ROUNDS: u32 = 100_000;

/// A flood's pace: 25,000 rounds a second. As fast as it can, the flood would
/// take the processors from the gateway by its own work.
const BATCH: u32 = 25;
const PACE: Duration = Duration::from_millis(1);

/// What a flood may cost in memory.
const MEMORY: usize = 20 << 20;

/// The load of the other callers.
const RATE: u32 = 200;

/// Below this, what other callers wait says nothing: the flood's own work and
/// theirs share the machine with the gateway's.
const NOISE: Duration = Duration::from_millis(100);

/// How long a flood may take that nobody stops.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn run() {
    let upstream = upstream().await;
    let under = Attacked::start(&upstream, &[]).await;
    for flood in &FLOODS {
        let stopped = under
            .by(flood.name, async |address| attack(address, *flood, false).await)
            .await;
        if let Some(most) = stopped.iter().max() {
            println!("floods:   {} GOAWAYs, each by round {most}", stopped.len());
        }
        assert_eq!(!stopped.is_empty(), flood.ends.is_some(), "{}", flood.name);
        assert!(stopped.iter().all(|rounds| *rounds < 10_000), "{stopped:?}");

        let deaf = format!("{}, by peers that do not read", flood.name);
        under.by(&deaf, async |address| attack(address, *flood, true).await).await;
    }
    under.by("40 × 100 bodies that do not end", open_streams).await;
    under.by("10,000 idle connections", idle).await;
    drop(under);

    let under = Attacked::start(&upstream, &["--max-connections", "20000"]).await;
    under.by("10,000 idle connections, all of them taken", idle).await;
}

/// A gateway, and a caller that shall not feel what is done to it.
struct Attacked {
    gateway: Gateway,
    caller: Caller,
}

impl Attacked {
    async fn start(upstream: &str, flags: &[&str]) -> Self {
        let gateway = Gateway::start(ANY_PORT, upstream, flags);
        let caller = Caller::new(&[gateway.address]);
        caller.ready(0).await;
        // What the process takes for RPCs is no attack's doing, nor for those
        // that pile up when the machine is busy.
        caller.call(10 * RATE, sleep(Duration::from_secs(1))).await;
        Self { gateway, caller }
    }

    /// Measures what an attack costs, beside what is usual just before it.
    async fn by<T>(&self, what: &str, attack: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let mut usual = self.caller.call(RATE, sleep(Duration::from_secs(1))).await;
        let before = self.gateway.memory();
        let mut most = before;
        let mut result = None;
        let watched = async {
            let mut attack = pin!(attack(self.gateway.address));
            while result.is_none() {
                tokio::select! {
                    ended = &mut attack => result = Some(ended),
                    () = sleep(Duration::from_millis(20)) => {
                        most = most.max(self.gateway.memory());
                    }
                }
            }
        };
        let mut beside = self.caller.call(RATE, watched).await;
        let grown = most.max(self.gateway.memory()) - before;
        report(what, &mut usual, &mut beside, grown);
        result.expect("the loop above ends with it")
    }
}

fn report(what: &str, usual: &mut Outcome, beside: &mut Outcome, grown: usize) {
    let usually = usual.all_but_one_in(100);
    let p99 = beside.all_but_one_in(100);
    let kib = grown / 1024;
    println!(
        "floods: {what}: {} RPCs beside it, p99 {p99:.1?} (usually {usually:.1?}), memory + {kib} KiB",
        beside.took.len(),
    );
    assert!(beside.failed.is_empty(), "{what}: {:?}", beside.failed.first());
    assert!(grown <= MEMORY, "{what}: memory grew by {kib} KiB");
    // Unoptimised, flood and gateway keep the processors busy by themselves.
    let felt = p99 > (2 * usually).max(NOISE);
    assert!(cfg!(debug_assertions) || !felt, "{what}: p99 {p99:?}, usually {usually:?}");
}

/// Floods until all frames are sent; returns after how many rounds each
/// connection was stopped.
async fn attack(address: SocketAddr, flood: Flood, deaf: bool) -> Vec<u32> {
    let started = Instant::now();
    let mut stopped = Vec::new();
    let mut left = if deaf { ROUNDS / 2 } else { ROUNDS };
    while left > 0 && started.elapsed() < LIMIT {
        let sent = connection(address, flood, deaf, left);
        // A peer that does not read waits for ever in the end.
        let limit = if deaf { LIMIT / 5 } else { LIMIT };
        let Ok((rounds, goaway)) = timeout(limit, sent).await else { break };
        left -= rounds.clamp(1, left);
        if goaway {
            stopped.push(rounds);
        }
    }
    stopped
}

/// Floods one connection; returns the rounds, and whether a GOAWAY came.
async fn connection(
    address: SocketAddr,
    flood: Flood,
    deaf: bool,
    most: u32,
) -> (u32, bool) {
    let mut peer = Peer::greet(address).await.unwrap();
    peer.send(&(flood.start)()).await.unwrap();
    let Peer { mut reader, mut writer } = peer;
    let mut held = None;
    let reading = if deaf {
        held = Some(reader);
        None
    } else {
        Some(tokio::spawn(async move {
            let mut goaway = false;
            while let Some(frame) = reader.next().await {
                goaway |= Frame::goaway(&frame).is_some();
            }
            goaway
        }))
    };
    let mut rounds = 0;
    let mut pace = interval(PACE);
    while rounds < most {
        pace.tick().await;
        let batch: Vec<u8> = (rounds..rounds + BATCH).flat_map(flood.round).collect();
        if writer.write_all(&batch).await.is_err() {
            break;
        }
        rounds += BATCH;
    }
    drop(writer);
    let goaway = match reading {
        Some(reading) => reading.await.unwrap(),
        None => false,
    };
    drop(held);
    (rounds, goaway)
}

/// Opens as many streams as are allowed, whose bodies never come.
async fn open_streams(address: SocketAddr) {
    let path = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                ListPartnerSharedConnections";
    let mut peers = Vec::new();
    for _ in 0..40 {
        let mut peer = Peer::greet(address).await.unwrap();
        for stream in 0..100 {
            let headers = frame(HEADERS, END_HEADERS, 2 * stream + 1, &rpc(path, &[]));
            peer.send(&headers).await.unwrap();
        }
        peers.push(peer);
    }
    sleep(Duration::from_secs(2)).await;
    drop(peers);
}

/// Holds connections on which nothing, or half a preface, was said.
async fn idle(address: SocketAddr) {
    let mut peers = Vec::new();
    for number in 0..10_000 {
        let Ok(mut peer) = Peer::connect(address).await else { continue };
        if number % 2 == 0 {
            let _ = peer.send(&PREFACE[..12]).await;
        }
        peers.push(peer);
    }
    sleep(Duration::from_secs(2)).await;
}
