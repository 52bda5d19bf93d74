//! Two gateways restart in turn under load, and no RPC fails.

use std::{collections::VecDeque, time::Duration};

use kit::{
    frames::{PREFACE, Peer},
    process::Process,
};
use tokio::time::Instant;

use crate::{
    balanced::BalancedClient,
    environment::{ANY_PORT, start, upstream},
};

const RATE: u32 = 500;
const FLAGS: &[&str] = &["--lame-duck", "0.3", "--drain-limit", "3"];

/// What a gateway logs if the drain limit ends its connections.
const LIMIT_REACHED: &str = "closing connections";

pub(crate) async fn run(restarts: usize) {
    let upstream = upstream().await;
    in_turn(restarts, &upstream).await;
    with_peers_that_hang(&upstream).await;
}

async fn in_turn(restarts: usize, upstream: &str) {
    let gateway = || start(ANY_PORT, upstream, FLAGS);
    let mut gateways = VecDeque::from([gateway().await, gateway().await]);
    let addresses = [gateways[0].address, gateways[1].address];
    let client = BalancedClient::new(&addresses);
    for gateway in 0..addresses.len() {
        client.ready(gateway).await;
    }
    let mut slowest = Duration::ZERO;
    let restarting = async {
        for restart in 0..restarts {
            let old = gateways.pop_front().unwrap();
            let (new, took) = restarted(old, upstream).await;
            gateways.push_back(new);
            slowest = slowest.max(took);
            client.ready(restart % addresses.len()).await;
        }
    };
    let started = Instant::now();
    let mut outcome = client.call(RATE, restarting).await;
    let (p50, p99) = (outcome.all_but_one_in(2), outcome.all_but_one_in(100));
    println!(
        "drain: {restarts} restarts in {:.1?} at {RATE} RPCs a second: {} RPCs, {} failed, \
         {} transparent retries, p50 {p50:.1?}, p99 {p99:.1?}; slowest exit \
         {slowest:.2?} after the signal",
        started.elapsed(),
        outcome.took.len() + outcome.failed.len(),
        outcome.failed.len(),
        outcome.transparent_retries,
    );
    let failed = &outcome.failed;
    assert!(failed.is_empty(), "{:?}", &failed[..failed.len().min(5)]);
}

/// Stops a gateway and starts it again. Returns it, and the time until its exit.
async fn restarted(gateway: Process, upstream: &str) -> (Process, Duration) {
    let address = gateway.address;
    let started = Instant::now();
    gateway.signal("TERM").await;
    let (code, written) = gateway.wait().await;
    let took = started.elapsed();
    assert_eq!(code, Some(0), "{written}");
    assert!(!written.contains(LIMIT_REACHED), "{written}");
    (start(address, upstream, FLAGS).await, took)
}

async fn with_peers_that_hang(upstream: &str) {
    let gateway = start(ANY_PORT, upstream, FLAGS).await;
    let silent = Peer::connect(gateway.address).await.unwrap();
    let mut half = Peer::connect(gateway.address).await.unwrap();
    half.send(&PREFACE[..12]).await.unwrap();
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        peer.reader.next().await.unwrap();
        deaf.push(peer);
    }
    // The gateway accepts in order, so it has accepted all of them.
    let started = Instant::now();
    gateway.signal("TERM").await;
    let (code, written) = gateway.wait().await;
    let took = started.elapsed();
    println!("drain: exit {took:.2?} after the signal with peers that hang");
    assert_eq!(code, Some(0), "{written}");
    assert!(written.contains(LIMIT_REACHED), "{written}");
    drop((silent, half, deaf));
}
