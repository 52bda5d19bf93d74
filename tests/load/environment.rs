//! The gateways and the upstreams of a measurement.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use kit::process::Process;
use polytomic_gateway::sandbox::Sandbox;
use tokio::net::TcpListener;

/// Takes a free port.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Starts a gateway as a separate process, and waits until it listens.
pub(crate) async fn start(listen: SocketAddr, upstream: &str, flags: &[&str]) -> Process {
    let listen = listen.to_string();
    // A log line per RPC would be measured too.
    let usual = ["--log", "info,rpc=off", "serve", "--no-key-check"];
    let own = ["--upstream-url", upstream, "--listen", &listen];
    Process::start(&[&usual[..], &own, flags].concat(), &[]).await
}

/// Starts an upstream outside of the gateways, so that it is not measured with them.
/// Returns its URL.
pub(crate) async fn upstream() -> String {
    let sandbox = Sandbox::bind(ANY_PORT).await.unwrap();
    let url = sandbox.url();
    tokio::spawn(sandbox.run(std::future::pending()));
    url
}

/// The id of a connection that has many shared copies.
pub(crate) const LARGE: &str = "7c3f2e10-0b5d-4f6a-8a51-1f0c9d2e7b11";

/// Starts an upstream whose response about [`LARGE`] has `bytes` bytes, and every
/// other response 1 kB. Returns its URL.
pub(crate) async fn large_upstream(bytes: usize) -> String {
    let list = |count| {
        let copy = serde_json::json!({ "id": LARGE, "name": "x".repeat(1000) });
        Bytes::from(serde_json::json!({ "data": vec![copy; count] }).to_string())
    };
    let (small, large) = (list(1), list(bytes / 1000));
    let respond = move |uri: http::Uri| async move {
        let body = if uri.path().contains(LARGE) { large } else { small };
        ([("content-type", "application/json")], body)
    };
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}
