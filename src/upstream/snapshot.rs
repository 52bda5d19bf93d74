//! The state of the connections and circuits, for people and metrics.

use super::{Route, Upstream};

/// The connections to Polytomic, and the circuits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// HTTP/1.1 connections without a request.
    pub idle: usize,
    /// HTTP/2 connections that take requests.
    pub connections: usize,
    /// Streams in use on those.
    pub streams: usize,
    /// Connections that are being opened.
    pub connecting: usize,
    /// Requests that wait for a connection or a stream.
    pub waiting: usize,
    /// Whether the circuit of all is open.
    pub is_open_for_all: bool,
    /// Open circuits of one key, or of one path in static mode.
    pub open_circuits: usize,
}

impl Upstream {
    /// Returns the current state. Takes the locks that requests take, for microseconds.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let connections = match &self.route {
            Route::Http(transport) => transport.snapshot(),
            #[cfg(feature = "testing")]
            Route::Memory(_) => Snapshot::default(),
        };
        let [(_, keys), (_, paths), (_, all)] = self.breaker.open();
        Snapshot { is_open_for_all: all > 0, open_circuits: keys + paths, ..connections }
    }
}
