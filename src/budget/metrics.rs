//! What clients hold of each budget, for the metrics.

use std::sync::Arc;

use super::{Capacities, Usage};
use crate::telemetry::{Family, Metrics};

const LIMIT: Family = Family::gauge(
    "gateway_budget_limit",
    &["budget"],
    "Maximum of what all clients together may hold of a budget; of open_rpcs and watches, \
     each connection may have one more that is guaranteed to it",
);
const USED: Family = Family::gauge(
    "gateway_budget_used",
    &["budget"],
    "What clients hold: RPCs without a response (in_flight), with one not read yet, too \
     (open_rpcs), health watches (watches), responses that wait for memory (waiting)",
);
const LIMIT_BYTES: Family = Family::gauge(
    "gateway_budget_limit_bytes",
    &["budget"],
    "Maximum of what all clients together may hold of a budget of memory, without what is \
     guaranteed to each connection",
);
const USED_BYTES: Family = Family::gauge(
    "gateway_budget_used_bytes",
    &["budget"],
    "Memory that clients hold: requests that arrive (receiving), the same of health and \
     reflection (auxiliary), large metadata (metadata), responses (response_memory)",
);
const WAITS: Family = Family::counter(
    "gateway_budget_waits_total",
    &["budget"],
    "RPCs whose response waited for room in a budget, each time that it did",
);

impl Capacities {
    /// Registers what clients hold.
    pub fn register(&self, metrics: &Metrics) {
        for (family, is_bytes, value) in [
            (LIMIT, false, (|usage| usage.limit) as fn(&Usage) -> usize),
            (USED, false, |usage| usage.used),
            (LIMIT_BYTES, true, |usage| usage.limit),
            (USED_BYTES, true, |usage| usage.used),
        ] {
            let capacities = self.clone();
            metrics.register(family, move |samples| {
                let usages = capacities.usage();
                for usage in usages.iter().filter(|usage| usage.is_bytes == is_bytes) {
                    samples.count(&[usage.name], value(usage) as u64);
                }
            });
        }
        let limits = Arc::clone(&self.limits);
        metrics.register(WAITS, move |samples| {
            samples.count(&["response_memory"], limits.waits.get());
        });
    }
}
