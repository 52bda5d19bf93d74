//! The last RPCs that failed, for a person who looks. Successes cost nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Number of failures that are kept.
const KEPT: usize = 50;

/// Number of those that are kept of one RPC with one reason, so that a flood of them, such
/// as a scan of paths or keys, leaves room for others.
const KEPT_PER_CAUSE: usize = 5;

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
        let mut alike = failures
            .iter()
            .enumerate()
            .filter(|(_, kept)| (kept.reason, &kept.rpc) == (failed.reason, &failed.rpc));
        let oldest = alike.nth(KEPT_PER_CAUSE - 1).map_or(KEPT - 1, |(index, _)| index);
        failures.remove(oldest);
        failures.push_front(failed);
    }

    /// Returns up to 50 failures, the newest first, and up to 5 of one RPC with one reason.
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

    fn failed(rpc: Option<&str>, reason: &'static str, request_id: usize) -> FailedRpc {
        FailedRpc {
            at: SystemTime::UNIX_EPOCH,
            rpc: rpc.map(str::to_owned),
            code: "Internal".to_owned(),
            reason,
            request_id: request_id.to_string(),
        }
    }

    #[test]
    fn last_failures_are_kept_the_newest_first() {
        let failures = RecentFailures::default();
        let failed = |number: usize| {
            let rpc = (number / KEPT_PER_CAUSE).to_string();
            failed(Some(&rpc), "INTERNAL", number)
        };
        for number in 0..KEPT + 7 {
            failures.add(failed(number));
        }
        let expected: Vec<_> = (7..KEPT + 7).rev().map(failed).collect();
        assert_eq!(failures.list(), expected);
    }

    #[test]
    fn flood_of_one_cause_leaves_the_failures_of_others() {
        let failures = RecentFailures::default();
        failures.add(failed(Some("List"), "UPSTREAM_TIMEOUT", 0));
        for number in 1..=2 * KEPT {
            failures.add(failed(None, "UNKNOWN_RPC", number));
            failures.add(failed(Some("List"), "CANCELLED", number));
        }
        let list = failures.list();
        assert_eq!(list.len(), 2 * KEPT_PER_CAUSE + 1);
        assert_eq!(list[0], failed(Some("List"), "CANCELLED", 2 * KEPT));
        assert_eq!(list.last(), Some(&failed(Some("List"), "UPSTREAM_TIMEOUT", 0)));
    }
}
