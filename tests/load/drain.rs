//! Two gateways restart in turn under load, and nobody notices.

use std::{collections::VecDeque, time::Duration};

use tokio::{task::block_in_place, time::Instant};

use crate::{
    callers::Caller,
    frames::{PREFACE, Peer},
    gateway::{ANY_PORT, Gateway, upstream},
};

const RATE: u32 = 500;
const LAME_DUCK: Duration = Duration::from_millis(300);
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
const FLAGS: &[&str] = &["--lame-duck", "0.3", "--drain-limit", "3"];

/// What a process may take to end, beside what it was told to wait.
const EXIT: Duration = Duration::from_secs(1);

pub(crate) async fn run(restarts: usize) {
    let upstream = upstream().await;
    in_turn(restarts, &upstream).await;
    with_peers_that_hang(&upstream).await;
}

async fn in_turn(restarts: usize, upstream: &str) {
    let start = || Gateway::start(ANY_PORT, upstream, FLAGS);
    let mut gateways = VecDeque::from([start(), start()]);
    let addresses = [gateways[0].address, gateways[1].address];
    let caller = Caller::new(&addresses);
    for gateway in 0..addresses.len() {
        caller.ready(gateway).await;
    }
    let mut slowest = Duration::ZERO;
    let restarting = async {
        for restart in 0..restarts {
            let old = gateways.pop_front().unwrap();
            let (new, took) = restarted(old, upstream).await;
            gateways.push_back(new);
            slowest = slowest.max(took);
            caller.ready(restart % addresses.len()).await;
        }
    };
    let started = Instant::now();
    let mut outcome = caller.call(RATE, restarting).await;
    let (p50, p99) = (outcome.all_but_one_in(2), outcome.all_but_one_in(100));
    println!(
        "drain: {restarts} restarts in {:.1?} at {RATE} RPCs a second: {} RPCs, {} failed, \
         {} refused unseen and sent again, p50 {p50:.1?}, p99 {p99:.1?}; slowest exit \
         {slowest:.2?} after the signal",
        started.elapsed(),
        outcome.took.len() + outcome.failed.len(),
        outcome.failed.len(),
        outcome.refused_unseen,
    );
    let failed = &outcome.failed;
    assert!(failed.is_empty(), "{:?}", &failed[..failed.len().min(5)]);
    assert!(slowest < LAME_DUCK + DRAIN_LIMIT + EXIT, "{slowest:?}");
}

/// Ends a gateway and starts it again; tells how long the end took.
async fn restarted(gateway: Gateway, upstream: &str) -> (Gateway, Duration) {
    let address = gateway.address;
    let started = Instant::now();
    gateway.terminate();
    assert!(gateway.ended().await.success());
    let took = started.elapsed();
    (block_in_place(|| Gateway::start(address, upstream, FLAGS)), took)
}

async fn with_peers_that_hang(upstream: &str) {
    let gateway = Gateway::start(ANY_PORT, upstream, FLAGS);
    let silent = Peer::connect(gateway.address).await.unwrap();
    let mut half = Peer::connect(gateway.address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        peer.reader.next().await.unwrap();
        deaf.push(peer);
    }
    // They are accepted in turn, so those before these are too.
    let started = Instant::now();
    gateway.terminate();
    let status = gateway.ended().await;
    let took = started.elapsed();
    println!("drain: exit {took:.2?} after the signal with peers that hang, {status}");
    assert!(status.success());
    assert!(took < LAME_DUCK + DRAIN_LIMIT + EXIT, "{took:?}");
    drop((silent, half, deaf));
}
