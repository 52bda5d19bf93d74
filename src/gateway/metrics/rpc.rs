//! What is counted of RPCs.
//!
//! The names are those of go-grpc-middleware, which dashboards know. Nothing that a client
//! chooses is a label: a request for an unknown RPC counts for `other`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::time::Instant;
use tonic::Code;

use crate::{
    budget::Exhausted,
    gateway::{FailedRpc, RecentFailures, RpcTotals},
    status::Reason,
    telemetry::{Counter, Counters, Exemplar, Family, Histogram, Metrics, Samples},
};

/// The names of the codes in Go, and so in dashboards, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const RPC: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];

const STARTED: Family = Family::counter(
    "grpc_server_started_total",
    RPC,
    "RPCs started; less those ended, the RPCs in flight",
);
const HANDLED: Family = Family::counter(
    "grpc_server_handled_total",
    &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
    "RPCs ended, by their code, those that were rejected or cancelled included",
);
const SECONDS: Family = Family::histogram(
    "grpc_server_handling_seconds",
    RPC,
    "Time of RPCs, from their headers to the end of their response",
);
const RECEIVED: Family = Family::counter(
    "grpc_server_msg_received_total",
    RPC,
    "Request messages received whole",
);
const SENT: Family =
    Family::counter("grpc_server_msg_sent_total", RPC, "Response messages sent");
const BY_REASON: Family = Family::counter(
    "gateway_failures_total",
    &["reason"],
    "RPCs of all names that failed, by the reason in the details of the error",
);
const BY_BUDGET: Family = Family::counter(
    "gateway_budget_refused_total",
    &["budget"],
    "RPCs that failed because a budget had no room for them or for their client",
);

/// What is counted of RPCs of one name.
#[derive(Debug)]
pub struct RpcMetrics {
    /// The type, the service and the name.
    labels: [String; 3],
    started: Counter,
    /// By the number of a code.
    handled: [Counter; CODES.len()],
    took: Histogram,
    received: Counter,
    sent: Counter,
    /// The last trace by the number of a code.
    traces: [Mutex<Option<Trace>>; CODES.len()],
    failures: Arc<Failures>,
}

#[derive(Debug)]
struct Trace {
    id: Box<str>,
    ended_at: SystemTime,
}

/// What is counted of failures of RPCs of all names.
#[derive(Debug)]
pub(super) struct Failures {
    by_reason: Counters,
    by_budget: Counters,
    recent: RecentFailures,
}

/// An RPC that has started. It ends when this is dropped, however that comes about, and is
/// counted then.
#[derive(Debug)]
pub struct CountedRpc {
    metrics: Arc<RpcMetrics>,
    started: Instant,
    code: Code,
    trace: Option<Box<str>>,
}

pub(super) fn register(metrics: &Metrics, rpcs: &[Arc<RpcMetrics>]) {
    let of_each = |family, write: fn(&RpcMetrics, [&str; 3], &mut Samples<'_>)| {
        let rpcs = rpcs.to_vec();
        metrics.register(family, move |samples| {
            for rpc in &rpcs {
                let labels = rpc.labels.each_ref().map(String::as_str);
                write(rpc, labels, samples);
            }
        });
    };
    of_each(STARTED, |rpc, labels, samples| samples.count(&labels, rpc.started.get()));
    of_each(HANDLED, RpcMetrics::write_handled);
    of_each(SECONDS, |rpc, labels, samples| samples.histogram(&labels, &rpc.took));
    of_each(RECEIVED, |rpc, labels, samples| samples.count(&labels, rpc.received.get()));
    of_each(SENT, |rpc, labels, samples| samples.count(&labels, rpc.sent.get()));
}

impl RpcMetrics {
    /// Makes the counters of an RPC with this type, service and name.
    pub(super) fn new(failures: &Arc<Failures>, labels: [&str; 3]) -> Arc<Self> {
        Arc::new(Self {
            labels: labels.map(str::to_owned),
            started: Counter::default(),
            handled: Default::default(),
            took: Histogram::default(),
            received: Counter::default(),
            sent: Counter::default(),
            traces: Default::default(),
            failures: Arc::clone(failures),
        })
    }

    /// Returns counters that nobody reads.
    #[cfg(test)]
    pub(in crate::gateway) fn unread() -> Arc<Self> {
        Self::new(&Arc::new(Failures::new()), ["unary", "a.Service", "Rpc"])
    }

    /// Counts a request message.
    pub fn received(&self) {
        self.received.add();
    }

    /// Returns what is counted, for a person.
    #[must_use]
    pub fn totals(&self) -> RpcTotals {
        let [_, service, name] = &self.labels;
        let codes = (0..).map(|number| format!("{:?}", Code::from_i32(number)));
        RpcTotals {
            rpc: format!("{service}/{name}"),
            codes: codes.zip(self.handled.iter().map(Counter::get)).collect(),
            total: self.took.sum(),
            within: self.took.buckets().collect(),
        }
    }

    fn write_handled(&self, [kind, service, name]: [&str; 3], samples: &mut Samples<'_>) {
        for (number, code) in CODES.iter().enumerate() {
            let (labels, count) =
                ([kind, service, name, code], self.handled[number].get());
            let trace =
                self.traces[number].lock().unwrap_or_else(PoisonError::into_inner);
            match &*trace {
                Some(Trace { id, ended_at }) => {
                    let exemplar = Exemplar { trace_id: id, at: *ended_at };
                    samples.count_with(&labels, count, exemplar);
                }
                None => samples.count(&labels, count),
            }
        }
    }
}

impl CountedRpc {
    /// Counts an RPC whose headers `arrived` then. Unless it is told another end, its
    /// client has cancelled it.
    #[must_use]
    pub fn start(metrics: &Arc<RpcMetrics>, arrived: Instant) -> Self {
        metrics.started.add();
        let (metrics, code) = (Arc::clone(metrics), Code::Cancelled);
        Self { metrics, started: arrived, code, trace: None }
    }

    /// Returns when the headers arrived.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns what is counted of RPCs of the name.
    #[must_use]
    pub fn metrics(&self) -> Arc<RpcMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Counts a request message.
    pub fn received(&self) {
        self.metrics.received();
    }

    /// Counts response messages.
    pub fn sent(&self, messages: u64) {
        self.metrics.sent.add_many(messages);
    }

    /// Ends the RPC.
    pub fn end(mut self, code: Code) {
        self.code = code;
    }

    /// Sets the ID of the trace that the RPC is part of.
    pub(in crate::gateway) fn set_trace(&mut self, id: Option<&str>) {
        self.trace = id.map(Box::from);
    }

    /// Sets the code with which the RPC ends and, if it failed, why.
    pub(in crate::gateway) fn set_end(
        &mut self,
        code: Code,
        reason: Option<Reason>,
        exhausted: Option<Exhausted>,
    ) {
        self.code = code;
        let Failures { by_reason, by_budget, .. } = &*self.metrics.failures;
        if let Some(reason) = reason {
            by_reason.add(reason.as_str());
        }
        if let Some(exhausted) = exhausted {
            by_budget.add(exhausted.budget());
        }
    }

    /// Adds a failure to those that are shown to people.
    pub(in crate::gateway) fn add_to_recent(&self, failed: FailedRpc) {
        self.metrics.failures.recent.add(failed);
    }
}

impl Drop for CountedRpc {
    fn drop(&mut self) {
        let code = self.code as usize;
        self.metrics.handled[code].add();
        self.metrics.took.observe(self.started.elapsed());
        // Of several that end together one is enough, so that none waits.
        if let Some(id) = self.trace.take()
            && let Ok(mut last) = self.metrics.traces[code].try_lock()
        {
            *last = Some(Trace { id, ended_at: SystemTime::now() });
        }
    }
}

impl Failures {
    pub(super) fn new() -> Self {
        let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
        Self {
            by_reason: Counters::new(reasons),
            by_budget: Counters::new(Exhausted::BUDGETS),
            recent: RecentFailures::default(),
        }
    }

    pub(super) fn recent(&self) -> &RecentFailures {
        &self.recent
    }

    pub(super) fn register(self: &Arc<Self>, metrics: &Metrics) {
        let failures = Arc::clone(self);
        metrics.register(BY_REASON, move |samples| failures.by_reason.write(samples));
        let failures = Arc::clone(self);
        metrics.register(BY_BUDGET, move |samples| failures.by_budget.write(samples));
    }
}
