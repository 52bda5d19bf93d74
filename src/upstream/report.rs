//! The end of an exchange.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::{
    Error,
    breaker::{Evidence, Permit},
    classify,
    metrics::RequestMetrics,
};

/// The one result of an exchange, for the circuit breaker and for the metrics.
#[derive(Debug)]
pub(super) struct Report {
    started: Instant,
    /// Whether the response has waited for the gateway's memory.
    pub(super) has_waited: bool,
    pub(super) permit: Option<Permit>,
    requests: Option<Arc<RequestMetrics>>,
}

impl Report {
    /// Returns the report of an exchange that starts now. Without a permit there is
    /// nothing to report to the circuit breaker.
    pub(super) fn new(permit: Option<Permit>) -> Self {
        Self { started: Instant::now(), has_waited: false, permit, requests: None }
    }

    /// Has the exchange counted.
    pub(super) fn counted(mut self, requests: Option<Arc<RequestMetrics>>) -> Self {
        self.requests = requests;
        self
    }

    /// Reports how the exchange ended.
    pub(super) fn send(&mut self, ending: Result<StatusCode, &Error>) {
        self.count(Some(ending));
        self.judge(ending);
    }

    fn count(&mut self, ending: Option<Result<StatusCode, &Error>>) {
        if let Some(requests) = self.requests.take() {
            requests.ended(ending, self.started.elapsed());
        }
    }

    /// Reports to the circuit breaker alone how the exchange ended.
    pub(super) fn judge(&mut self, ending: Result<StatusCode, &Error>) {
        let Some(permit) = self.permit.take() else { return };
        if self.has_waited && matches!(ending, Err(Error::Timeout | Error::Reset(_))) {
            // Polytomic may have given up on a reader that paused.
            return;
        }
        if let Some(failed) = classify::is_outage(ending, self.started.elapsed()) {
            permit.record(match ending {
                Err(Error::Connect(_)) => Evidence::Unreachable,
                _ if failed => Evidence::Fails,
                _ => Evidence::Responds,
            });
        }
    }
}

/// An exchange without a result was cancelled.
impl Drop for Report {
    fn drop(&mut self) {
        self.count(None);
    }
}
