//! A gateway in a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use bytes::Bytes;
use polytomic_gateway::sandbox::Sandbox;
use tokio::net::TcpListener;

/// Takes a free port.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts a gateway, and waits until it listens.
    pub(crate) fn start(listen: SocketAddr, upstream: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_polytomic-gateway"))
            // What is logged of each RPC would be measured too.
            .args(["--log", "info,rpc=off", "--log-format", "json", "serve"])
            .args(["--upstream-url", upstream, "--no-key-check"])
            .args(["--listen", &listen.to_string()])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("the gateway listens"))
            .expect("it listens");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        // A full pipe would stop it.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Returns its resident memory, in KiB: what it has now, and the most that
    /// it has had.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let value = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        (value("VmRSS:"), value("VmHWM:"))
    }

    /// Returns the time that processors have spent on it.
    pub(crate) fn worked(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
        // In user mode and in the system, in hundredths of a second.
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts an upstream, apart from the gateways so that it is not measured with
/// them; returns its URL.
pub(crate) async fn upstream() -> String {
    let sandbox = Sandbox::bind(ANY_PORT).await.unwrap();
    let url = sandbox.url();
    tokio::spawn(sandbox.run(std::future::pending()));
    url
}

/// The connection that has many copies.
pub(crate) const LARGE: &str = "7c3f2e10-0b5d-4f6a-8a51-1f0c9d2e7b11";

/// Starts an upstream that answers about [`LARGE`] with so many bytes, and about
/// everything else with one kilobyte; returns its URL.
pub(crate) async fn large_upstream(bytes: usize) -> String {
    let list = |count| {
        let copy = serde_json::json!({ "id": LARGE, "name": "x".repeat(1000) });
        Bytes::from(serde_json::json!({ "data": vec![copy; count] }).to_string())
    };
    let (small, large) = (list(1), list(bytes / 1000));
    let answer = move |uri: http::Uri| async move {
        let body = if uri.path().contains(LARGE) { large } else { small };
        ([("content-type", "application/json")], body)
    };
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}
