//! Two gateways that are killed in turn.

use std::{fmt, net::SocketAddr, time::Duration};

use kit::{draws::Draws, front::Front, process::Process};
use polytomic_gateway::sandbox::seed;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// The time between a restart of one gateway and the end of the other: at least one
/// health check of Envoy, and up to this more.
const SHORTEST_LIFE: Duration = Duration::from_millis(200);
const LONGEST_LIFE: Duration = Duration::from_millis(700);

/// Time limits that suit the delays of the sandbox.
const FLAGS: [&str; 9] = [
    "serve",
    "--timeout",
    "5",
    "--attempt-timeout",
    "0.4",
    "--lame-duck",
    "0.3",
    "--drain-limit",
    "6",
];

/// The addresses of all servers but Envoy, which they keep when restarted.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) upstream: SocketAddr,
    pub(crate) gateways: [SocketAddr; 2],
}

pub(crate) struct Gateways {
    over: watch::Sender<bool>,
    running: JoinHandle<Lives>,
}

/// What became of all gateways.
#[derive(Default)]
pub(crate) struct Lives {
    killed: usize,
    drained: usize,
    /// Gateways that spoke HTTP/2 to the upstream.
    http2: usize,
    /// RPCs in their logs, and retries of those.
    rpcs: usize,
    retries: usize,
}

struct Life {
    ports: Ports,
    draws: Draws,
    /// The upstream, over HTTP/2.
    front: Front,
    lives: Lives,
}

impl Gateways {
    /// Starts both.
    pub(crate) async fn start(ports: Ports, seed: u64) -> Self {
        let front = Front::start(format!("http://{}", ports.upstream)).await;
        let draws = Draws::new(seed, 0);
        let mut life = Life { ports, draws, front, lives: Lives::default() };
        let processes = [life.gateway(0).await, life.gateway(1).await];
        let over = watch::Sender::new(false);
        let running = tokio::spawn(life.restart_in_turn(processes, over.subscribe()));
        Self { over, running }
    }

    /// Ends both when the last restart has ended.
    pub(crate) async fn end(self) -> Lives {
        self.over.send_replace(true);
        self.running.await.unwrap()
    }
}

impl Life {
    async fn restart_in_turn(
        mut self,
        processes: [Process; 2],
        mut over: watch::Receiver<bool>,
    ) -> Lives {
        let [mut next, mut other] = processes;
        for place in [0, 1].into_iter().cycle() {
            let life = SHORTEST_LIFE + self.draws.time(LONGEST_LIFE);
            tokio::select! {
                () = sleep(life) => {}
                _ = over.wait_for(|over| *over) => break,
            }
            self.stop(next).await;
            next = other;
            other = self.gateway(place).await;
        }
        self.read(&next.log());
        self.read(&other.log());
        next.kill().await;
        other.kill().await;
        self.lives
    }

    async fn gateway(&mut self, place: usize) -> Process {
        let listen = self.ports.gateways[place].to_string();
        let url = format!("http://{}", self.ports.upstream);
        let mut flags = [&FLAGS[..], &["--listen", &listen]].concat();
        if self.draws.one_in(2) {
            self.lives.http2 += 1;
            flags.extend(self.front.flags());
        } else {
            flags.extend(["--upstream-url", &url]);
        }
        // Some leave retries to Envoy and the clients.
        flags.extend(["--attempts", if self.draws.one_in(2) { "1" } else { "3" }]);
        Process::start(&flags, &[]).await
    }

    /// Ends a gateway, by SIGKILL or as a rolling update does.
    async fn stop(&mut self, process: Process) {
        if self.draws.one_in(2) {
            self.lives.killed += 1;
            self.read(&process.log());
            process.kill().await;
        } else {
            self.lives.drained += 1;
            process.signal("TERM").await;
            let (code, log) = process.wait().await;
            assert_eq!(code, Some(0), "{log}");
            self.read(&log);
        }
    }

    /// Counts the RPCs in the log of a gateway.
    fn read(&mut self, log: &str) {
        assert!(!log.contains(seed::PARTNER_KEY), "a key is in the log");
        for rpc in log.split(" attempts=").skip(1) {
            let attempts: usize = rpc.split_whitespace().next().unwrap().parse().unwrap();
            self.lives.rpcs += 1;
            self.lives.retries += attempts.saturating_sub(1);
        }
    }
}

impl Lives {
    /// Checks that each kind has occurred.
    pub(crate) fn check(&self) {
        for (count, what) in [
            (self.killed, "killed"),
            (self.drained, "drained"),
            (self.http2, "with HTTP/2"),
            (self.retries, "that retry"),
        ] {
            assert!(count > 0, "gateways {what}: none");
        }
    }
}

impl fmt::Display for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { killed, drained, http2, rpcs, retries } = self;
        let started = killed + drained + 2;
        write!(
            f,
            "gateways: {started} started, {http2} of them with HTTP/2 to the upstream; \
             {killed} ended by SIGKILL, {drained} by SIGTERM; {rpcs} RPCs, {retries} retries"
        )
    }
}
