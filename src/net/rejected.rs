//! The log of rejected connections, which stays short in a flood of them, and their number.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::{metrics::ConnectionMetrics, protocol::Protocol};

/// Minimum time between two log lines for one reason.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a connection is rejected or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    AcceptFailed,
    ConnectionLimit,
    /// At the limit, a connection that was not needed has ended for another.
    Evicted,
    AddressLimit,
    WrongProtocol(Protocol),
    /// The peer speaks TLS, but has not offered HTTP/2 in it.
    Alpn,
    /// The handshake of TLS failed.
    Tls,
    /// The peer's certificate is valid, but has no name that can be an identity.
    Nameless,
    /// The peer broke HTTP/2, or a limit that HTTP/2 lets a server set.
    Http2,
}

/// Counts rejected connections.
#[derive(Debug)]
pub(super) struct Rejected {
    counts: Mutex<HashMap<Reason, Count>>,
    metrics: Arc<ConnectionMetrics>,
}

#[derive(Debug, Default)]
struct Count {
    /// Connections since the last log line.
    connections: u64,
    logged_at: Option<Instant>,
}

impl Reason {
    /// Returns the name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::AcceptFailed => "accept_failed",
            Self::ConnectionLimit => "connection_limit",
            Self::Evicted => "evicted",
            Self::AddressLimit => "address_limit",
            Self::WrongProtocol(_) => "wrong_protocol",
            Self::Alpn => "alpn",
            Self::Tls => "tls",
            Self::Nameless => "nameless",
            Self::Http2 => "http2",
        }
    }
}

impl Rejected {
    pub(super) fn new(metrics: Arc<ConnectionMetrics>) -> Self {
        Self { counts: Mutex::default(), metrics }
    }

    /// Counts a connection, and logs it unless a line has been logged recently.
    pub(super) fn record(&self, reason: Reason, detail: impl fmt::Display) {
        self.metrics.rejected(reason.name());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_default();
        count.connections += 1;
        if count.logged_at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return;
        }
        count.logged_at = Some(Instant::now());
        let count = std::mem::take(&mut count.connections);
        drop(counts);
        warn!(%reason, %detail, count, "connections rejected");
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcceptFailed => "accept failed",
            Self::ConnectionLimit => "connection limit reached",
            Self::Evicted => "ended for another at the connection limit",
            Self::AddressLimit => "connection limit of an address reached",
            Self::WrongProtocol(_) => "wrong protocol",
            Self::Alpn => "HTTP/2 not offered in TLS",
            Self::Tls => "TLS handshake failed",
            Self::Nameless => "client certificate without a usable name",
            Self::Http2 => "HTTP/2 limit or error",
        })
    }
}
