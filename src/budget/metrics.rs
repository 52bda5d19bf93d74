//! What clients hold of each budget, for the metrics.

use std::sync::Arc;

use super::{Capacities, SharedCapacity};
use crate::telemetry::{Family, Metrics, Samples};

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
        let counts: Arc<[_]> = Arc::new([
            ("in_flight", self.in_flight.clone()),
            ("open_rpcs", self.open_rpcs.clone()),
            ("watches", self.watches.clone()),
            ("waiting", self.waiting.clone()),
        ]);
        let bytes: Arc<[_]> = Arc::new([
            ("receiving", self.receiving.clone()),
            ("auxiliary", self.auxiliary.clone()),
            ("metadata", self.metadata.clone()),
            ("response_memory", self.response_memory.clone()),
        ]);
        let of_each = |family,
                       budgets: &Arc<[(&'static str, SharedCapacity)]>,
                       value: fn(&SharedCapacity) -> usize| {
            let budgets = Arc::clone(budgets);
            metrics.register(family, move |samples: &mut Samples<'_>| {
                for (name, budget) in &*budgets {
                    samples.count(&[name], value(budget) as u64);
                }
            });
        };
        of_each(LIMIT, &counts, SharedCapacity::total);
        of_each(USED, &counts, SharedCapacity::used);
        of_each(LIMIT_BYTES, &bytes, |budget| budget.total() * budget.unit());
        of_each(USED_BYTES, &bytes, |budget| budget.used() * budget.unit());
        let limits = Arc::clone(&self.limits);
        metrics.register(WAITS, move |samples| {
            samples.count(&["response_memory"], limits.waits.get());
        });
    }
}
