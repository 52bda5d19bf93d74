//! How much clients hold of each capacity, for people and metrics.

use super::{Capacities, SharedCapacity};

/// How much all clients hold of a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What is held.
    pub what: &'static str,
    /// Whether the numbers are bytes.
    pub is_bytes: bool,
    /// How much is held. It may exceed the limit by what is guaranteed to each client.
    pub used: usize,
    /// How much is shared.
    pub limit: usize,
}

impl Capacities {
    /// Returns how much all clients hold of each capacity.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        let in_units = |what, capacity: &SharedCapacity| {
            let (used, limit) = (capacity.used(), capacity.total());
            Usage { what, is_bytes: false, used, limit }
        };
        let in_bytes = |what, capacity: &SharedCapacity| {
            let Usage { used, limit, .. } = in_units(what, capacity);
            let unit = capacity.unit();
            let (used, limit) = (used.saturating_mul(unit), limit.saturating_mul(unit));
            Usage { what, is_bytes: true, used, limit }
        };
        vec![
            in_units("RPCs in flight", &self.in_flight),
            in_units("RPCs in flight or unread", &self.open_rpcs),
            in_bytes("Responses, shared memory", &self.response_memory),
            in_units("Responses waiting for memory", &self.waiting),
            in_bytes("Requests being received", &self.receiving),
            in_bytes("Large metadata", &self.metadata),
            in_bytes("Health and reflection", &self.auxiliary),
            in_units("Health watches", &self.watches),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{super::Settings, *};

    #[test]
    fn usage_is_of_all_connections() {
        let all = Capacities::new(&Settings {
            response_memory: 1 << 20,
            max_in_flight: 7,
            max_connections: 16,
        });
        let usage =
            |what| all.usage().into_iter().find(|usage| usage.what == what).unwrap();
        let held = [(); 2].map(|()| all.on_connection().try_receive().unwrap());
        let receiving = usage("Requests being received");
        assert_eq!((receiving.used, receiving.limit), (2 * 4096, 1024 * 4096));
        drop(held);
        assert_eq!(usage("Requests being received").used, 0);
        assert_eq!(usage("RPCs in flight").limit, 7);
    }
}
