//! The accept loop and the open connections.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinSet, unconstrained},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    addresses::Addresses,
    connection::{Accepted, Shared},
    eviction::EvictionQueue,
    limits::Settings,
    metrics::ConnectionMetrics,
    rejected::{Reason, Rejected},
};
use crate::{budget::Capacities, grpc::Routes, tls::ServerTls};

/// Delay after a failed accept: most likely there are no file descriptors left, and
/// the next accept would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    shared: Arc<Shared>,
    open: JoinSet<()>,
    evictions: Arc<EvictionQueue>,
    addresses: Arc<Addresses>,
}

impl Connections {
    pub(super) fn new(
        routes: Arc<Routes>,
        settings: Settings,
        capacities: Capacities,
        tls: Option<Arc<ServerTls>>,
        draining: CancellationToken,
        metrics: Arc<ConnectionMetrics>,
    ) -> Self {
        let addresses = Arc::new(Addresses::new(settings.max_connections_per_address));
        let rejected = Rejected::new(Arc::clone(&metrics));
        let shared =
            Shared { routes, capacities, settings, tls, draining, rejected, metrics };
        Self {
            shared: Arc::new(shared),
            open: JoinSet::new(),
            evictions: Arc::default(),
            addresses,
        }
    }

    /// Returns the number of open connections.
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
                    Ok((stream, peer)) => {
                        // The connection that ends at once needs a turn of its task.
                        self.join_ended();
                        if self.is_full() && self.evictions.end_first() {
                            tokio::select! {
                                Some(_) = self.open.join_next() => {}
                                () = &mut until => return self.serve(stream, peer),
                            }
                        }
                        self.serve(stream, peer);
                    }
                    Err(error) if concerns_one_peer(&error) => {}
                    Err(error) => {
                        self.shared.rejected.record(Reason::AcceptFailed, &error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    /// Accepts the connections that the system has already established: closing the
    /// listener first would reset them. Then those are served whose preface has arrived,
    /// in plaintext. A TLS handshake takes a round trip more, so the drain ends it: its
    /// client has sent no RPC, and connects to another instance.
    pub(super) fn accept_waiting(&mut self, listener: &TcpListener) {
        // Without `unconstrained`, tokio would make the task yield before the last one.
        let accept = || unconstrained(listener.accept()).now_or_never();
        while let Some(Ok((stream, peer))) = accept() {
            self.serve(stream, peer);
        }
    }

    /// Completes when every connection has ended.
    pub(super) async fn ended(&mut self) {
        while self.open.join_next().await.is_some() {}
    }

    /// Closes every connection, with the RPCs on it.
    pub(super) async fn close(&mut self) {
        self.open.shutdown().await;
    }

    /// Serves a connection, or closes it if a limit is reached: a connection left in the
    /// system's queue would only keep its peer waiting.
    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.join_ended();
        let rejected = &self.shared.rejected;
        let Some(counted) = self.addresses.try_add(peer.ip()) else {
            rejected.record(Reason::AddressLimit, peer.ip());
            return;
        };
        if !self.has_room() {
            rejected.record(Reason::ConnectionLimit, self.max_connections());
            return;
        }
        let open = self.shared.metrics.accepted();
        let (shared, evictable) = (Arc::clone(&self.shared), self.evictions.add());
        let mut accepted = Accepted { stream, peer, shared, evictable };
        self.open.spawn(async move {
            if let Some(first) = accepted.first().await {
                Box::pin(accepted.serve(first)).await;
            }
            drop((counted, open));
        });
    }

    fn join_ended(&mut self) {
        while self.open.try_join_next().is_some() {}
    }

    /// Reports whether there is room for another connection, which may end one that is
    /// not needed.
    fn has_room(&self) -> bool {
        let (open, limit) = (self.open.len(), self.max_connections());
        if open < limit {
            return true;
        }
        let evicted = !self.is_full() && self.evictions.evict_first();
        if evicted {
            self.shared.rejected.record(Reason::Evicted, limit);
        }
        evicted
    }

    fn max_connections(&self) -> usize {
        self.shared.capacities.max_connections()
    }

    /// Reports whether as many connections are open as may be, with those that are to end.
    fn is_full(&self) -> bool {
        let limit = self.max_connections();
        self.open.len() >= limit.saturating_add(limit.div_ceil(4))
    }
}

/// Reports whether an error is about one connection, closed before it was accepted.
/// Other errors are the system's, and the next accept would fail too.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
