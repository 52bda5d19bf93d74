//! The serving loop: listens, serves connections, and drains. It knows sockets and
//! HTTP/2, and nothing of gRPC.
//!
//! tonic's own server lacks limits that a server in a mesh must set, and can hang
//! when it stops. This one sets every limit explicitly and ends its drain in time
//! (`docs/decisions/0004-own-serving-loop.md`).

mod accept;
mod addresses;
mod batch;
mod connection;
mod eviction;
mod goaway;
mod greeting;
mod lifecycle;
mod limits;
mod metrics;
mod protocol;
mod rejected;
mod resets;
mod streams;
mod turns;
mod yielding;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{accept::Connections, metrics::ConnectionMetrics};
pub use self::{
    lifecycle::{Lifecycle, Phase},
    limits::Settings,
};
use crate::{budget::Capacities, grpc::Routes, telemetry::Metrics, tls::ServerTls};

/// A server that listens but does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    routes: Arc<Routes>,
    settings: Settings,
    capacities: Capacities,
    tls: Option<Arc<ServerTls>>,
    metrics: Arc<ConnectionMetrics>,
}

impl Server {
    /// Listens on an address. Port 0 stands for any free port.
    ///
    /// # Errors
    ///
    /// If the system does not allow to listen on the address.
    pub async fn bind(
        address: SocketAddr,
        routes: Arc<Routes>,
        settings: Settings,
        capacities: Capacities,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(ConnectionMetrics::new());
        let tls = None;
        Ok(Self { listener, address, routes, settings, capacities, tls, metrics })
    }

    /// Has clients speak TLS, or plaintext without `tls`.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<ServerTls>>) -> Self {
        Self { tls, ..self }
    }

    /// Returns the address and port that the server listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Registers what is counted of connections.
    pub fn register(&self, metrics: &Metrics) {
        self.metrics.register(metrics);
    }

    /// Returns what the server reports of itself from now on.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        self.metrics.lifecycle().clone()
    }

    /// Serves until `shutdown` completes, then drains, in this order:
    ///
    /// 1. lame duck: health is `NOT_SERVING`, and the server continues to serve while
    ///    load balancers react;
    /// 2. drain: no new connections, GOAWAY on the open ones, and up to the drain
    ///    limit for RPCs in flight;
    /// 3. close: connections that are still open are closed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, routes, settings, capacities, tls, metrics, .. } = self;
        let (lame_duck, drain_limit) = (settings.lame_duck, settings.drain_limit);
        let draining = CancellationToken::new();
        let mut connections = Connections::new(
            Arc::clone(&routes),
            settings,
            capacities,
            tls,
            draining.clone(),
            Arc::clone(&metrics),
        );
        let lifecycle = metrics.lifecycle();
        let readiness = tokio::spawn(Arc::clone(&routes).report_readiness());
        connections.accept_until(&listener, shutdown).await;
        readiness.abort();

        info!(open = connections.len(), seconds = lame_duck.as_secs_f64(), "lame duck");
        lifecycle.enter(Phase::LameDuck);
        routes.health().set_not_serving().await;
        connections.accept_until(&listener, sleep(lame_duck)).await;

        info!(open = connections.len(), limit = drain_limit.as_secs_f64(), "draining");
        lifecycle.enter(Phase::Draining);
        let started = Instant::now();
        connections.accept_waiting(&listener);
        drop(listener);
        draining.cancel();
        routes.end_open_streams().await;
        if timeout(drain_limit, connections.ended()).await.is_err() {
            warn!(open = connections.len(), "drain limit exceeded; closing connections");
            connections.close().await;
        }
        info!(seconds = started.elapsed().as_secs_f64(), "drained");
    }
}
