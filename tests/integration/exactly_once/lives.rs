//! Gateways and an upstream that die at moments of the seed, and come again.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
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
use crate::support::{
    process::Process,
    relay::{Relay, bind_again},
};

/// The longest time that anything lives: less than the shortest run takes.
const LONGEST_LIFE: Duration = Duration::from_millis(1200);

/// The longest time that the upstream or the way to it is gone.
const LONGEST_GAP: Duration = Duration::from_millis(600);

/// Limits that suit the sandbox, which answers within a millisecond, and the
/// delays of its faults.
const FLAGS: [&str; 8] = [
    "--log",
    "info,rpc=off",
    "serve",
    "--no-key-check",
    "--timeout",
    "2",
    "--attempt-timeout",
    "0.15",
];

/// Everything between callers and shares.
pub(super) struct Scene {
    pub(super) figures: Arc<Figures>,
    ports: Ports,
    over: watch::Sender<bool>,
    gateways: Vec<JoinHandle<Process>>,
    way: JoinHandle<Relay>,
    upstream: JoinHandle<Upstream>,
    handle: Handle,
}

/// Where everything is, in each of its lives.
#[derive(Clone, Copy)]
struct Ports {
    gateways: [SocketAddr; 2],
    relay: SocketAddr,
    upstream: SocketAddr,
}

/// A part of the scene that lives until everything is over.
struct Life {
    draws: Draws,
    over: watch::Receiver<bool>,
    figures: Arc<Figures>,
    ports: Ports,
}

impl Ports {
    /// Takes ports that no system gives away by itself: while their owner is dead
    /// nobody else comes to be asked in its place.
    fn find() -> Self {
        let range = 20_000..30_000;
        // Apart from those of a process that starts now too, which looks as well.
        let apart = std::process::id().wrapping_mul(8) % 10_000;
        let first = range.start + u16::try_from(apart).unwrap();
        let mut free = (first..range.end)
            .chain(range.start..first)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .filter(|address| TcpListener::bind(address).is_ok());
        let mut next = || free.next().expect("there are free ports");
        Self { gateways: [next(), next()], relay: next(), upstream: next() }
    }

    async fn gateway(
        self,
        place: usize,
        upstream: SocketAddr,
        attempts: &str,
    ) -> Process {
        let (listen, url) =
            (self.gateways[place].to_string(), format!("http://{upstream}"));
        let flags = ["--listen", &listen, "--upstream-url", &url, "--attempts", attempts];
        Process::start(&[&FLAGS[..], &flags].concat(), &[]).await
    }
}

impl Scene {
    pub(super) async fn start(handle: Handle, seed: u64) -> Self {
        let figures = Arc::new(Figures::default());
        let over = watch::Sender::new(false);
        let ports = Ports::find();
        let life = |actor| Life {
            draws: Draws::new(seed, actor),
            over: over.subscribe(),
            figures: Arc::clone(&figures),
            ports,
        };
        let upstream = Upstream::start(&handle, ports.upstream).await;
        let relay = Relay::start(ports.relay, ports.upstream).await;
        let gateways = [
            (0, ports.gateway(0, ports.upstream, "3").await),
            (1, ports.gateway(1, ports.relay, "3").await),
        ];
        let gateways = gateways.map(|(place, first)| {
            tokio::spawn(life(place as u64).of_gateway(place, first))
        });
        Self {
            gateways: gateways.into(),
            way: tokio::spawn(life(2).of_way(relay)),
            upstream: tokio::spawn(life(3).of_upstream(upstream)),
            ports,
            over,
            figures,
            handle,
        }
    }

    /// Returns where a gateway is, or will be again.
    pub(super) fn address(&self, number: usize) -> SocketAddr {
        self.ports.gateways[number % 2]
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
        let upstream = Upstream::start(&self.handle, self.ports.upstream).await;
        let gateway = self.ports.gateway(0, self.ports.upstream, "3").await;
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

    async fn of_gateway(mut self, place: usize, mut process: Process) -> Process {
        while !self.is_over().await {
            process.kill().await;
            self.figures.gateways_killed.one();
            // Behind the relay a gateway meets a way that is cut; without it, a
            // server that is dead: the relay outlives its upstream.
            let through_relay = self.draws.one_in(2);
            let way = if through_relay { self.ports.relay } else { self.ports.upstream };
            // Some leave repeats to their callers.
            let attempts = if self.draws.one_in(4) { "1" } else { "3" };
            process = self.ports.gateway(place, way, attempts).await;
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
            let handle = upstream.handle.clone();
            upstream.kill().await;
            self.figures.upstreams_killed.one();
            self.gap().await;
            upstream = Upstream::start(&handle, self.ports.upstream).await;
        }
        upstream
    }
}

/// A sandbox that can be killed: all that it has begun stops wherever it waits,
/// and its connections are closed, as when a process ends. What it holds
/// survives, as a database does.
struct Upstream {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Upstream {
    async fn start(handle: &Handle, address: SocketAddr) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (bound, is_bound) = oneshot::channel();
        let state = handle.clone();
        runtime.spawn(async move {
            let sandbox = bind_again(|| state.bind(address)).await;
            bound.send(()).unwrap();
            sandbox.run(std::future::pending()).await;
        });
        is_bound.await.expect("the address is free");
        Self { handle: handle.clone(), runtime: Some(runtime) }
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
