//! Gateways and an upstream that die at moments of the seed, and come again.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use polytomic_gateway::sandbox::Handle;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use super::{draws::Draws, figures::Figures};
use crate::support::{process::Process, relay::Relay};

/// The longest time that anything lives: less than the shortest run takes.
const LONGEST_LIFE: Duration = Duration::from_millis(1200);

/// The longest time that the upstream or the way to it is gone.
const LONGEST_GAP: Duration = Duration::from_millis(600);

/// Limits that suit the sandbox, which answers within a millisecond, and the
/// delays of its faults.
const FLAGS: [&str; 11] = [
    "--log",
    "info,rpc=off",
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--no-key-check",
    "--timeout",
    "2",
    "--attempt-timeout",
    "0.15",
    "--upstream-url",
];

/// Everything between callers and shares.
pub(super) struct Scene {
    pub(super) figures: Arc<Figures>,
    addresses: Arc<Mutex<[SocketAddr; 2]>>,
    over: watch::Sender<bool>,
    gateways: Vec<JoinHandle<Process>>,
    way: JoinHandle<Relay>,
    upstream: JoinHandle<Upstream>,
    handle: Handle,
    address: SocketAddr,
}

/// A part of the scene that lives until everything is over.
struct Life {
    draws: Draws,
    over: watch::Receiver<bool>,
    figures: Arc<Figures>,
}

impl Scene {
    pub(super) async fn start(upstream: Upstream, seed: u64) -> Self {
        let figures = Arc::new(Figures::default());
        let over = watch::Sender::new(false);
        let life = |actor| Life {
            draws: Draws::new(seed, actor),
            over: over.subscribe(),
            figures: Arc::clone(&figures),
        };
        let (handle, address) = (upstream.handle.clone(), upstream.address);
        let relay = Relay::start(address).await;
        // A gateway that is on the relay meets a cut way, one that is not a dead
        // server: the relay itself lives on when its upstream is dead.
        let ways = [format!("http://{address}"), relay.url()];
        let first = [gateway(&ways[0], "3").await, gateway(&ways[1], "3").await];
        let addresses = Arc::new(Mutex::new([first[0].address, first[1].address]));
        let gateways = first.into_iter().enumerate().map(|(place, first)| {
            let (addresses, ways) = (Arc::clone(&addresses), ways.clone());
            tokio::spawn(life(place as u64).of_gateway(first, place, ways, addresses))
        });
        let gateways = gateways.collect();
        Self {
            addresses,
            gateways,
            way: tokio::spawn(life(2).of_way(relay)),
            upstream: tokio::spawn(life(3).of_upstream(upstream)),
            over,
            figures,
            handle,
            address,
        }
    }

    /// Returns where a gateway was last seen.
    pub(super) fn address(&self, number: usize) -> SocketAddr {
        self.addresses.lock().unwrap()[number % 2]
    }

    /// Kills everything and everyone, and returns a calm scene: an upstream that
    /// holds what was made, and one gateway.
    pub(super) async fn end(self) -> Calm {
        self.over.send_replace(true);
        for gateway in self.gateways {
            gateway.await.unwrap().kill().await;
        }
        self.way.await.unwrap().cut().await;
        let upstream = self.upstream.await.unwrap();
        self.handle.set_faults(None);
        self.handle.idle().await;
        // What still lies in a socket is lost with it: nothing comes late.
        upstream.kill().await;
        let upstream = Upstream::start(&self.handle, self.address).await;
        let gateway = gateway(&format!("http://{}", self.address), "3").await;
        Calm { gateway, _upstream: upstream, figures: self.figures }
    }
}

/// What is left when nothing fails any more.
pub(super) struct Calm {
    pub(super) gateway: Process,
    _upstream: Upstream,
    pub(super) figures: Arc<Figures>,
}

impl Life {
    /// Waits for a drawn time. Returns whether everything is over.
    async fn is_over(&mut self) -> bool {
        let time = self.draws.time(LONGEST_LIFE);
        self.is_over_within(time).await
    }

    /// Waits for another, until what has died comes again.
    async fn gap(&mut self) {
        let time = self.draws.short_time(LONGEST_GAP);
        self.is_over_within(time).await;
    }

    async fn is_over_within(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = sleep(time) => false,
            _ = self.over.wait_for(|over| *over) => true,
        }
    }

    async fn of_gateway(
        mut self,
        mut process: Process,
        place: usize,
        ways: [String; 2],
        addresses: Arc<Mutex<[SocketAddr; 2]>>,
    ) -> Process {
        while !self.is_over().await {
            process.kill().await;
            self.figures.gateways_killed.one();
            let way = &ways[usize::from(self.draws.one_in(2))];
            // Some leave repeats to their callers.
            let attempts = if self.draws.one_in(4) { "1" } else { "3" };
            process = gateway(way, attempts).await;
            addresses.lock().unwrap()[place] = process.address;
        }
        process
    }

    async fn of_way(mut self, mut relay: Relay) -> Relay {
        while !self.is_over().await {
            relay.cut().await;
            self.figures.cuts.one();
            self.gap().await;
            relay.mend().await;
        }
        relay
    }

    async fn of_upstream(mut self, mut upstream: Upstream) -> Upstream {
        while !self.is_over().await {
            let (handle, address) = (upstream.handle.clone(), upstream.address);
            upstream.kill().await;
            self.figures.upstreams_killed.one();
            self.gap().await;
            upstream = Upstream::start(&handle, address).await;
        }
        upstream
    }
}

async fn gateway(way: &str, attempts: &str) -> Process {
    Process::start(&[&FLAGS[..], &[way, "--attempts", attempts]].concat(), &[]).await
}

/// A sandbox that can be killed: all that it has begun stops wherever it waits,
/// and its connections are closed, as when a process ends. What it holds
/// survives, as a database does.
pub(super) struct Upstream {
    handle: Handle,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Upstream {
    /// Serves at an address; port 0 takes any free one.
    pub(super) async fn start(handle: &Handle, address: SocketAddr) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (bound, address_bound) = oneshot::channel();
        let state = handle.clone();
        runtime.spawn(async move {
            let sandbox = state.bind(address).await.unwrap();
            bound.send(sandbox.local_addr()).unwrap();
            sandbox.run(std::future::pending()).await.unwrap();
        });
        let address = address_bound.await.expect("the address is free");
        Self { handle: handle.clone(), address, runtime: Some(runtime) }
    }

    /// Returns when nothing of it is left.
    async fn kill(mut self) {
        let runtime = self.runtime.take();
        spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Waiting for it is not allowed here.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
