//! What is counted of connections.

use std::sync::Arc;

use super::lifecycle::{Lifecycle, Open, Phase};
use crate::telemetry::{Counter, Counters, Family, Metrics};

const OPEN: Family = Family::gauge(
    "gateway_connections_open",
    &[],
    "Connections of clients that are open",
);
const ACCEPTED: Family = Family::counter(
    "gateway_connections_accepted_total",
    &[],
    "Connections of clients that were accepted within the limits",
);
const REJECTED: Family = Family::counter(
    "gateway_connections_rejected_total",
    &["reason"],
    "Connections of clients that were rejected or ended: at a limit, for another at the \
     limit (evicted), because their peer broke HTTP/2 (http2) or speaks something else",
);
const GOAWAYS: Family = Family::counter(
    "gateway_goaways_total",
    &["reason"],
    "Connections that the gateway told to end with a GOAWAY",
);
const STATE: Family = Family::gauge(
    "gateway_state",
    &["state"],
    "1 for what the gateway does: it serves, it serves while load balancers take it out of \
     use (lame_duck), or it lets RPCs in flight end (draining)",
);

/// Why a connection is rejected or ended.
const REJECTIONS: [&str; 9] = [
    "accept_failed",
    "address_limit",
    "alpn",
    "connection_limit",
    "evicted",
    "http2",
    "nameless",
    "tls",
    "wrong_protocol",
];

/// Why the gateway tells a connection to end.
const ENDINGS: [&str; 8] = [
    "age",
    "connection_limit",
    "drain",
    "idle",
    "large_metadata",
    "too_many_resets",
    "unread_responses",
    "unused",
];

/// What is counted of connections.
#[derive(Debug)]
pub(super) struct ConnectionMetrics {
    lifecycle: Lifecycle,
    accepted: Counter,
    rejected: Counters,
    goaways: Counters,
}

impl ConnectionMetrics {
    pub(super) fn new() -> Self {
        Self {
            lifecycle: Lifecycle::default(),
            accepted: Counter::default(),
            rejected: Counters::new(REJECTIONS),
            goaways: Counters::new(ENDINGS),
        }
    }

    /// Counts a connection that is served.
    pub(super) fn accepted(&self) -> Open {
        self.accepted.add();
        self.lifecycle.connection()
    }

    /// Counts a connection that is not served, or no longer.
    pub(super) fn rejected(&self, reason: &str) {
        self.rejected.add(reason);
    }

    /// Counts a connection that is told to end.
    pub(super) fn goaway(&self, reason: &str) {
        self.goaways.add(reason);
    }

    /// Returns the phase of the server and the number of its connections.
    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    pub(super) fn register(self: &Arc<Self>, metrics: &Metrics) {
        let own = Arc::clone(self);
        metrics.register(OPEN, move |samples| {
            samples.count(&[], own.lifecycle.connections() as u64);
        });
        let own = Arc::clone(self);
        metrics.register(ACCEPTED, move |samples| samples.count(&[], own.accepted.get()));
        let own = Arc::clone(self);
        metrics.register(REJECTED, move |samples| own.rejected.write(samples));
        let own = Arc::clone(self);
        metrics.register(GOAWAYS, move |samples| own.goaways.write(samples));
        let own = Arc::clone(self);
        metrics.register(STATE, move |samples| {
            for phase in Phase::ALL {
                let name = match phase {
                    Phase::Serving => "serving",
                    Phase::LameDuck => "lame_duck",
                    Phase::Draining => "draining",
                };
                samples.count(&[name], u64::from(own.lifecycle.phase() == phase));
            }
        });
    }
}
