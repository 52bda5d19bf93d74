//! Floods by misbehaving peers: their cost in memory, and the latency of other
//! clients.

use std::time::Duration;

use kit::{
    HANG_GUARD,
    caller::LIST,
    frames::{
        CONTINUATIONS, EMPTY_DATA, Flood, MALFORMED_HEADERS, PINGS, RAPID_RESET,
        SETTINGS_FLOOD,
    },
};

use crate::{
    attacks::{self, CLIENTS, Expanding},
    balanced::WATCH,
    environment::upstream,
    harness::{Attack, Harness, MEMORY},
    unread,
};

const FLOODS: [Flood; 6] =
    [RAPID_RESET, MALFORMED_HEADERS, CONTINUATIONS, EMPTY_DATA, SETTINGS_FLOOD, PINGS];

/// The floods of frames to which the gateway responds round by round.
const ANSWERED: [Flood; 3] = [MALFORMED_HEADERS, SETTINGS_FLOOD, PINGS];

/// The maximum of rounds until a connection ends.
const SOON: u32 = 10_000;

/// What 1,024 connections cost in KiB, and a quarter more that are to end: h2 has buffers
/// of 28 KiB for each.
const CONNECTIONS: u64 = 1280 * 28;

/// What a request on each costs in addition: pages of those buffers, and h2's state of a
/// stream.
const REQUESTS: u64 = 1280 * 12;

/// Maximum of memory in KiB for large bodies that do not end. The futures of an
/// unoptimised gateway are larger.
const BODIES: u64 = if cfg!(debug_assertions) { 24 << 10 } else { MEMORY };

/// What 1,020 connections cost in KiB, with 40 MiB for what they do: the metadata that
/// requests hold (8 MiB), and h2's state of the streams of each connection until it ends.
/// An unoptimised gateway is slow to end them.
const MANY: u64 = 1020 * 28 + 2 * MEMORY;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Slightly more than the time to open 4,000 streams.
const OPENING: Duration = Duration::from_secs(1);

/// Runs all attacks, or those whose name contains a word.
pub(crate) async fn run(word: &str) {
    let harness = Harness::set(word, upstream()).await;
    for of in FLOODS {
        flood(&harness, of, false).await;
    }
    for of in ANSWERED {
        flood(&harness, of, true).await;
    }
    let open = |address, until| attacks::open_incomplete(address, LIST, until);
    let streams = Attack::of("40 × 100 bodies that do not end");
    harness.attacked(Attack { length: OPENING, ..streams }, open).await;
    let open = |address, until| attacks::open_incomplete_large(address, LIST, until);
    let bodies = Attack::of("140 × 8 large bodies that do not end");
    harness.attacked(Attack { memory: BODIES, ..bodies }, open).await;
    expanding(&harness).await;
    drip(&harness).await;
    for (what, flags) in [
        ("10,000 idle connections", &[][..]),
        ("10,000 idle connections, all accepted", &["--max-connections", "20000"]),
    ] {
        let length = 3 * OPENING;
        let idle = Attack { flags, length, times: 2, ..Attack::of(what) };
        harness.attacked(idle, attacks::idle).await;
    }
    silent(&harness).await;
    let mut broken = harness.broken();
    broken.extend(unread::run(word).await);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Floods by peers that read, or do not. A flood that the gateway must stop ends every
/// connection with the right GOAWAY; any other flood ends none.
async fn flood(harness: &Harness<'_>, of: Flood, deaf: bool) {
    let how = if deaf { ", by peers that do not read" } else { "" };
    let what = format!("{}{how}", of.name);
    let flood = move |address, until| attacks::flood(address, of, deaf, until);
    let flooded = harness.attacked(Attack::of(&what), flood).await;
    if flooded.is_empty() {
        return;
    }
    let rounds: u32 = flooded.iter().map(|flooded| flooded.rounds).sum();
    let ended: Vec<_> = flooded.iter().flat_map(|flooded| &flooded.ended).collect();
    let stated = ended.iter().filter(|ended| ended.goaway.as_deref() == of.ends).count();
    let latest = ended.iter().map(|ended| ended.rounds).max().unwrap_or(0);
    println!(
        "floods:   {rounds} rounds; {} connections ended by round {latest}, {stated} of \
         them by a GOAWAY that was read",
        ended.len()
    );
    harness.check(ended.is_empty() == of.ends.is_none(), || {
        format!("{what}: {} connections ended", ended.len())
    });
    harness.check(deaf || stated == ended.len(), || format!("{what}: {ended:?}"));
    harness.check(latest < SOON, || format!("{what}: one ended by round {latest}"));
}

/// Header fields of one byte each cost the gateway a hundred.
async fn expanding(harness: &Harness<'_>) {
    for (what, expanding, number, memory) in [
        ("60 × 60 header expansions", Expanding::Headers, [60, 60], MEMORY),
        ("60 × 60 trailer expansions", Expanding::Trailers, [60, 60], MEMORY),
        ("1,020 × 100 header expansions", Expanding::Headers, [1020, 100], MANY),
    ] {
        let length = OPENING * number[0] / 50;
        let attack = Attack { length, times: 1, memory, ..Attack::of(what) };
        let send = |address, until| {
            attacks::send_expanding(address, LIST, expanding, number, until)
        };
        harness.attacked(attack, send).await;
    }
}

/// Connections that need nothing keep no client out.
async fn silent(harness: &Harness<'_>) {
    for (what, request, memory) in [
        ("10,000 silent HTTP/2 connections", None, CONNECTIONS),
        (
            "10,000 connections with one health check",
            Some(HEALTH),
            CONNECTIONS + REQUESTS,
        ),
        ("10,000 connections with one health watch", Some(WATCH), CONNECTIONS + REQUESTS),
    ] {
        let attack = Attack { length: 3 * OPENING, times: 1, ..Attack::of(what) };
        let attack = Attack { memory: MEMORY + memory, ..attack };
        let silent = |address, until| attacks::silent(address, request, until);
        for served in harness.attacked(attack, silent).await {
            println!("floods:   {served} of {CLIENTS} clients were served meanwhile");
            harness.check(served == CLIENTS, || format!("{what}: {served} clients"));
        }
    }
}

/// The gateway abandons requests of a byte per second.
async fn drip(harness: &Harness<'_>) {
    let what = "40 × 100 bodies of a byte a second";
    let attack = Attack { length: HANG_GUARD, times: 1, ..Attack::of(what) };
    let drip = |address, until| attacks::drip(address, LIST, until);
    for responded in harness.attacked(attack, drip).await {
        println!("floods:   {responded} of 4000 have a response");
        harness.check(responded == 4000, || format!("{what}: {responded} responses"));
    }
}
