//! The accept loop, and the connections that came of it.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinSet, unconstrained},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{connection, limits::Settings};
use crate::{budget::Capacities, grpc::Routes};

/// How long to wait after an accept has failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often to tell of connections that were refused.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    /// Shared, since most of a connection that says nothing would be its copies.
    routes: Arc<Routes>,
    capacities: Arc<Capacities>,
    settings: Arc<Settings>,
    draining: CancellationToken,
    open: JoinSet<()>,
    refused: Refused,
}

impl Connections {
    pub(super) fn new(
        routes: Arc<Routes>,
        settings: Settings,
        capacities: Capacities,
        draining: CancellationToken,
    ) -> Self {
        Self {
            routes,
            capacities: Arc::new(capacities),
            settings: Arc::new(settings),
            draining,
            open: JoinSet::new(),
            refused: Refused::default(),
        }
    }

    /// Returns how many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Accepts connections and serves them, until `until` completes.
    pub(super) async fn accept_until(
        &mut self,
        listener: &TcpListener,
        until: impl Future<Output = ()>,
    ) {
        let mut until = pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.serve(stream, peer),
                    Err(error) if concerns_one_peer(&error) => {}
                    Err(error) => {
                        self.refused.note("the system does not give it", &error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    /// Accepts the connections that the system has made already: to close the
    /// listener before them would reset them.
    pub(super) fn accept_waiting(&mut self, listener: &TcpListener) {
        // tokio would end the turn of one task after some.
        let accept = || unconstrained(listener.accept()).now_or_never();
        while let Some(Ok((stream, peer))) = accept() {
            self.serve(stream, peer);
        }
    }

    /// Completes when every connection has ended.
    pub(super) async fn ended(&mut self) {
        while self.open.join_next().await.is_some() {}
    }

    /// Ends every connection, with the RPCs on it.
    pub(super) async fn close(&mut self) {
        self.open.shutdown().await;
    }

    /// Serves a connection, or closes it if there are too many. One that ends
    /// makes room; one that waits would only fill the system's queue.
    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        while self.open.try_join_next().is_some() {}
        if self.open.len() >= self.capacities.max_connections() {
            self.refused.note("there are too many", &self.capacities.max_connections());
            return;
        }
        let routes = Arc::clone(&self.routes);
        let capacities = Arc::clone(&self.capacities);
        let settings = Arc::clone(&self.settings);
        let draining = self.draining.clone();
        let serving =
            connection::serve(stream, peer, routes, capacities, settings, draining);
        self.open.spawn(serving);
    }
}

/// Tells errors of a connection that was gone before it was accepted from
/// those of the system, which the next accept would meet too.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Connections that were refused. A flood of them is no flood of log lines.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

impl Refused {
    fn note(&mut self, reason: &str, detail: &impl std::fmt::Display) {
        self.count += 1;
        if self.told.is_some_and(|told| told.elapsed() < LOG_INTERVAL) {
            return;
        }
        warn!(reason, %detail, count = self.count, "connections were refused");
        *self = Self { count: 0, told: Some(Instant::now()) };
    }
}
