//! Gateways, a relay and an upstream that are killed and restarted at random times.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kit::{draws::Draws, ports, process::Process, relay::Relay, upstream::Upstream};
use polytomic_gateway::sandbox::Handle;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::figures::Figures;

/// The maximum lifetime of each part: less than the shortest run takes.
const LONGEST_LIFE: Duration = Duration::from_millis(1200);

/// The maximum time until the upstream or the relay is restarted.
const LONGEST_GAP: Duration = Duration::from_millis(600);

/// Time limits that suit the sandbox, which responds within a millisecond, and the
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

/// Everything between the clients and the shares.
pub(super) struct Environment {
    pub(super) figures: Arc<Figures>,
    ports: Ports,
    over: watch::Sender<bool>,
    gateways: Vec<JoinHandle<Process>>,
    relay: JoinHandle<Relay>,
    upstream: JoinHandle<Upstream>,
    handle: Handle,
}

/// The addresses of all parts, which they keep when restarted.
#[derive(Clone, Copy)]
struct Ports {
    gateways: [SocketAddr; 2],
    relay: SocketAddr,
    upstream: SocketAddr,
}

/// A part of the environment, which restarts until the run is over.
struct Life {
    draws: Draws,
    over: watch::Receiver<bool>,
    figures: Arc<Figures>,
    ports: Ports,
}

impl Ports {
    fn find() -> Self {
        let [first, second, relay, upstream] = ports::free();
        Self { gateways: [first, second], relay, upstream }
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

impl Environment {
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
            relay: tokio::spawn(life(2).of_relay(relay)),
            upstream: tokio::spawn(life(3).of_upstream(upstream)),
            ports,
            over,
            figures,
            handle,
        }
    }

    /// Returns the address of a gateway, which may be down.
    pub(super) fn address(&self, number: usize) -> SocketAddr {
        self.ports.gateways[number % 2]
    }

    /// Ends all failures and returns what is left: an upstream with the shares, and one
    /// gateway.
    pub(super) async fn end(self) -> Calm {
        self.over.send_replace(true);
        for gateway in self.gateways {
            gateway.await.unwrap().kill().await;
        }
        self.relay.await.unwrap().cut().await;
        let upstream = self.upstream.await.unwrap();
        self.handle.set_faults(None);
        self.handle.idle().await;
        // Bytes in its sockets are lost with it, so no request arrives late.
        upstream.kill().await;
        let upstream = Upstream::start(&self.handle, self.ports.upstream).await;
        let gateway = self.ports.gateway(0, self.ports.upstream, "3").await;
        Calm { gateway, _upstream: upstream, figures: self.figures }
    }
}

/// An upstream and a gateway without failures.
pub(super) struct Calm {
    pub(super) gateway: Process,
    _upstream: Upstream,
    pub(super) figures: Arc<Figures>,
}

impl Life {
    /// Waits for a drawn time. Reports whether the run is over.
    async fn is_over(&mut self) -> bool {
        let time = self.draws.time(LONGEST_LIFE);
        self.is_over_within(time).await
    }

    /// Waits for a drawn time before a restart.
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
            // Behind the relay, a gateway meets a cut connection. Without the relay, it
            // meets a server that is down: the relay outlives its upstream.
            let through_relay = self.draws.one_in(2);
            let upstream =
                if through_relay { self.ports.relay } else { self.ports.upstream };
            // Some gateways leave retries to their clients.
            let attempts = if self.draws.one_in(4) { "1" } else { "3" };
            process = self.ports.gateway(place, upstream, attempts).await;
        }
        process
    }

    async fn of_relay(mut self, mut relay: Relay) -> Relay {
        while !self.is_over().await {
            relay.cut().await;
            self.figures.cuts.one();
            self.gap().await;
            relay.restore().await;
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
