//! What a gateway counts.

mod rpc;

use std::sync::Arc;

use self::rpc::Failures;
pub use self::rpc::{CountedRpc, RpcMetrics};
use super::{Gateway, RecentFailures, RpcTotals, idempotency::Origin};
use crate::{
    contract::{Contract, Rpc},
    status::Reason,
    telemetry::{self, Counters, Family},
    upstream::{RequestMetrics, Upstream},
};

const RETRIES: Family = Family::counter(
    "gateway_retries_total",
    &["reason"],
    "Attempts after the first, by the reason why the attempt before failed",
);
const KEYS: Family = Family::counter(
    "gateway_idempotency_keys_total",
    &["origin"],
    "Creates, by the origin of their idempotency key: given by the client, derived from \
     its request ID, or fresh",
);

/// What a gateway counts.
#[derive(Debug)]
pub(super) struct Metrics {
    failures: Arc<Failures>,
    /// By the index of an RPC.
    rpcs: Vec<Arc<RpcMetrics>>,
    /// By the index of an RPC.
    requests: Vec<Arc<RequestMetrics>>,
    retries: Arc<Counters>,
    pub(super) keys: Arc<Counters>,
}

impl Gateway {
    /// Returns what is counted of an RPC of the contract.
    #[must_use]
    pub fn rpc_metrics(&self, rpc: &Rpc) -> &Arc<RpcMetrics> {
        self.metrics.of(rpc)
    }

    /// Returns what is counted of an RPC that is not of the contract, by its type, service
    /// and name. [`register`](Self::register) takes it.
    #[must_use]
    pub fn other_rpc_metrics(&self, labels: [&str; 3]) -> Arc<RpcMetrics> {
        self.metrics.of_other(labels)
    }

    /// Returns what is counted of the RPCs of the contract, for a person.
    pub fn totals(&self) -> impl Iterator<Item = RpcTotals> {
        self.metrics.totals()
    }

    /// Registers what is counted of RPCs, with those that are not of the contract.
    pub fn register(&self, metrics: &telemetry::Metrics, others: &[Arc<RpcMetrics>]) {
        self.metrics.register(metrics, others);
    }
}

impl Metrics {
    pub(super) fn new(contract: &Contract, upstream: &Upstream) -> Self {
        let failures = Arc::new(Failures::new());
        let rpcs = contract.rpcs().map(|rpc| {
            let kind = if rpc.is_streaming { "server_stream" } else { "unary" };
            RpcMetrics::new(&failures, [kind, &rpc.service, &rpc.name])
        });
        let requests = contract.rpcs().map(|rpc| {
            upstream.count_requests(&rpc.binding.method, &rpc.binding.template)
        });
        let retries = Reason::RETRIED.iter().map(|reason| reason.as_str());
        Self {
            rpcs: rpcs.collect(),
            requests: requests.collect(),
            retries: Arc::new(Counters::new(retries)),
            keys: Arc::new(Counters::new(Origin::ALL.map(Origin::as_str))),
            failures,
        }
    }

    /// Returns what is counted of an RPC of the contract.
    pub(super) fn of(&self, rpc: &Rpc) -> &Arc<RpcMetrics> {
        &self.rpcs[rpc.index]
    }

    /// Returns what is counted of the requests of an RPC.
    pub(super) fn requests_of(&self, rpc: &Rpc) -> &Arc<RequestMetrics> {
        &self.requests[rpc.index]
    }

    /// Returns what is counted of an RPC that is not of the contract: its type, service
    /// and name.
    pub(super) fn of_other(&self, labels: [&str; 3]) -> Arc<RpcMetrics> {
        RpcMetrics::new(&self.failures, labels)
    }

    /// Returns the last failures.
    pub(super) fn recent_failures(&self) -> &RecentFailures {
        self.failures.recent()
    }

    /// Returns what is counted of the RPCs of the contract, for a person.
    pub(super) fn totals(&self) -> impl Iterator<Item = RpcTotals> {
        self.rpcs.iter().map(|rpc| rpc.totals())
    }

    /// Counts that another attempt follows one that failed for this reason.
    pub(super) fn retried(&self, reason: Reason) {
        self.retries.add(reason.as_str());
    }

    /// Registers the families, with the RPCs of `others`.
    pub(super) fn register(
        &self,
        metrics: &telemetry::Metrics,
        others: &[Arc<RpcMetrics>],
    ) {
        rpc::register(metrics, &[&self.rpcs, others].concat());
        self.failures.register(metrics);
        for (family, counters) in [(RETRIES, &self.retries), (KEYS, &self.keys)] {
            let counters = Arc::clone(counters);
            metrics.register(family, move |samples| counters.write(samples));
        }
    }
}
