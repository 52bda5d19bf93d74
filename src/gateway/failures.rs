//! The last RPCs that failed, for a person who looks. Successes cost nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Number of failures that are kept.
const KEPT: usize = 50;

/// The last failures of a gateway, the newest first. Clones are of the same gateway.
#[derive(Debug, Clone, Default)]
pub struct RecentFailures(Arc<Mutex<VecDeque<FailedRpc>>>);

/// An RPC that failed, or a request that was rejected before it became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRpc {
    /// When it ended.
    pub at: SystemTime,
    /// The path of the RPC, if the contract has it.
    pub rpc: Option<String>,
    /// The name of the gRPC code, as in the log.
    pub code: String,
    /// The reason in the details of the error.
    pub reason: &'static str,
    /// The client's request ID, or the gateway's. Visible ASCII.
    pub request_id: String,
}

impl RecentFailures {
    pub(super) fn add(&self, failed: FailedRpc) {
        let mut failures = self.failures();
        failures.truncate(KEPT - 1);
        failures.push_front(failed);
    }

    /// Returns up to 50 failures, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<FailedRpc> {
        self.failures().iter().cloned().collect()
    }

    fn failures(&self) -> MutexGuard<'_, VecDeque<FailedRpc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_failures_are_kept_the_newest_first() {
        let failures = RecentFailures::default();
        let failed = |number: usize| FailedRpc {
            at: SystemTime::UNIX_EPOCH,
            rpc: None,
            code: "Internal".to_owned(),
            reason: "INTERNAL",
            request_id: number.to_string(),
        };
        for number in 0..KEPT + 7 {
            failures.add(failed(number));
        }
        let expected: Vec<_> = (7..KEPT + 7).rev().map(failed).collect();
        assert_eq!(failures.list(), expected);
    }
}
