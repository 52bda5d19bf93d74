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
    connection,
    limits::Settings,
    rejected::{Reason, Rejected},
};
use crate::{budget::Capacities, grpc::Routes};

/// Delay after a failed accept: most likely there are no file descriptors left, and
/// the next accept would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    /// Shared, since copies would be most of the memory of a silent connection.
    routes: Arc<Routes>,
    capacities: Arc<Capacities>,
    settings: Arc<Settings>,
    draining: CancellationToken,
    open: JoinSet<()>,
    rejected: Arc<Rejected>,
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
            rejected: Arc::default(),
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
                    Ok((stream, peer)) => self.serve(stream, peer),
                    Err(error) if concerns_one_peer(&error) => {}
                    Err(error) => {
                        self.rejected.record(Reason::AcceptFailed, &error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    /// Accepts the connections that the system has already established: closing the
    /// listener first would reset them.
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

    /// Serves a connection, or closes it if the connection limit is reached: a
    /// connection left in the system's queue would only keep its peer waiting.
    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        while self.open.try_join_next().is_some() {}
        if self.open.len() >= self.capacities.max_connections() {
            let limit = self.capacities.max_connections();
            self.rejected.record(Reason::ConnectionLimit, limit);
            return;
        }
        let routes = Arc::clone(&self.routes);
        let capacities = Arc::clone(&self.capacities);
        let settings = Arc::clone(&self.settings);
        let draining = self.draining.clone();
        let rejected = Arc::clone(&self.rejected);
        let serving = connection::serve(
            stream, peer, routes, capacities, settings, draining, rejected,
        );
        self.open.spawn(serving);
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
