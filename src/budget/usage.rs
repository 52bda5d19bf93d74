//! How much clients hold of each capacity, for people and metrics.

use super::{Capacities, SharedCapacity};

/// How much all clients hold of a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The name in metrics.
    pub name: &'static str,
    /// What is held, for people.
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
    pub fn usage(&self) -> [Usage; 8] {
        let in_units = |name, what, capacity: &SharedCapacity| {
            let (used, limit) = (capacity.used(), capacity.total());
            Usage { name, what, is_bytes: false, used, limit }
        };
        let in_bytes = |name, what, capacity: &SharedCapacity| {
            let usage = in_units(name, what, capacity);
            let bytes = |units: usize| units.saturating_mul(capacity.unit());
            let (used, limit) = (bytes(usage.used), bytes(usage.limit));
            Usage { is_bytes: true, used, limit, ..usage }
        };
        let responses = &self.response_memory;
        [
            in_units("in_flight", "RPCs in flight", &self.in_flight),
            in_units("open_rpcs", "RPCs in flight or unread", &self.open_rpcs),
            in_bytes("response_memory", "Responses, shared memory", responses),
            in_units("waiting", "Responses waiting for memory", &self.waiting),
            in_bytes("receiving", "Requests being received", &self.receiving),
            in_bytes("metadata", "Large metadata", &self.metadata),
            in_bytes("auxiliary", "Health and reflection", &self.auxiliary),
            in_units("watches", "Health watches", &self.watches),
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
