//! Envoy, with the configuration of `envoy.yaml`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, process::Stdio};

use kit::HANG_GUARD;
use reqwest::Client;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const CONFIGURATION: &str = include_str!("envoy.yaml");

/// The line of the log that says that Envoy listens.
const LISTENS: &str = "starting workers";

/// The ways through Envoy. `envoy.yaml` says how they differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listeners {
    pub(crate) sidecar: SocketAddr,
    pub(crate) hedging: SocketAddr,
    pub(crate) plain: SocketAddr,
    pub(crate) once: SocketAddr,
}

pub(crate) struct Envoy {
    process: Child,
    admin: SocketAddr,
}

/// Counts that Envoy makes.
#[derive(Default)]
pub(crate) struct Stats(BTreeMap<String, u64>);

impl Envoy {
    /// Starts Envoy and waits until it listens.
    pub(crate) async fn start(
        admin: SocketAddr,
        listeners: Listeners,
        gateways: [SocketAddr; 2],
    ) -> Self {
        let configuration = [
            ("ADMIN_PORT", admin),
            ("SIDECAR_PORT", listeners.sidecar),
            ("HEDGING_PORT", listeners.hedging),
            ("PLAIN_PORT", listeners.plain),
            ("ONCE_PORT", listeners.once),
            ("FIRST_GATEWAY_PORT", gateways[0]),
            ("SECOND_GATEWAY_PORT", gateways[1]),
        ]
        .iter()
        .fold(CONFIGURATION.to_owned(), |text, (name, address)| {
            text.replace(name, &address.port().to_string())
        });
        let spawned = Command::new("envoy")
            .args(["--config-yaml", &configuration, "--use-dynamic-base-id"])
            .args(["--concurrency", "1", "--log-level", "error"])
            .args(["--component-log-level", "config:info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = spawned.expect("there is no Envoy in PATH: use `.ci/run mesh`");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let starting = async {
            let mut written = String::new();
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains(LISTENS) {
                    return;
                }
                written = written + &line + "\n";
            }
            panic!("Envoy does not start:\n{written}");
        };
        timeout(HANG_GUARD, starting).await.expect("Envoy never listens");
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { process, admin }
    }

    /// Returns the counts so far.
    pub(crate) async fn stats(&self) -> Stats {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/stats?usedonly", self.admin);
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let counts = text.lines().filter_map(|line| {
            let (name, count) = line.split_once(": ")?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Stats(counts.collect())
    }

    pub(crate) async fn end(mut self) {
        timeout(HANG_GUARD, self.process.kill()).await.expect("SIGKILL ends it").unwrap();
    }
}

impl Stats {
    /// Returns the RPCs that clients sent, retries of their libraries included.
    pub(crate) fn received(&self) -> u64 {
        let listeners = ["sidecar", "hedging", "plain", "once"];
        listeners
            .iter()
            .map(|listener| self.count(&format!("http.{listener}.downstream_rq_total")))
            .sum()
    }

    fn of_gateways(&self, name: &str) -> u64 {
        self.count(&format!("cluster.gateways.upstream_{name}"))
    }

    fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Checks that Envoy has met each kind of failure.
    pub(crate) fn check(&self) {
        for name in ["rq_retry", "rq_retry_success", "rq_per_try_timeout", "rq_tx_reset"]
        {
            assert!(self.of_gateways(name) > 0, "{name}: none");
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Envoy: {} RPCs received, {} sent; {} retries, {} of them a success; {} \
             attempts timed out; {} connections failed, {} broken",
            self.received(),
            self.of_gateways("rq_total"),
            self.of_gateways("rq_retry"),
            self.of_gateways("rq_retry_success"),
            self.of_gateways("rq_per_try_timeout"),
            self.of_gateways("cx_connect_fail"),
            self.of_gateways("cx_destroy_remote_with_active_rq"),
        )
    }
}
