//! The capacities as each key sees them, over all its connections.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::SharedCapacity;

/// Keys that are remembered before those without an RPC are forgotten.
const REMEMBERED: usize = 1024;

/// Stands for a key: 64 bits of a hash that differs in each process, so that clients
/// cannot choose it. It is no secret, and reads as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What one key holds. It is counted for as long as an RPC of the key holds this.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) in_flight: SharedCapacity,
    pub(super) open_rpcs: SharedCapacity,
    pub(super) response_memory: SharedCapacity,
    pub(super) waiting: SharedCapacity,
    /// RPCs in flight while Polytomic has not confirmed the key.
    pub(super) unconfirmed: SharedCapacity,
}

/// The keys that have RPCs, and others up to a number.
#[derive(Debug)]
pub(super) struct Keys {
    /// The capacities of no key in particular.
    capacities: Key,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    keys: HashMap<KeyId, Arc<Key>>,
    /// The number of keys at which those without an RPC are forgotten.
    most: usize,
}

impl Key {
    fn another(&self) -> Self {
        Self {
            in_flight: self.in_flight.for_key(),
            open_rpcs: self.open_rpcs.for_key(),
            response_memory: self.response_memory.for_key(),
            waiting: self.waiting.for_key(),
            unconfirmed: self.unconfirmed.for_key(),
        }
    }
}

impl Keys {
    pub(super) fn new(capacities: Key) -> Self {
        let known = Known { keys: HashMap::new(), most: REMEMBERED };
        Self { capacities, known: Mutex::new(known) }
    }

    /// Returns the key with this ID: the same as long as anyone holds it.
    pub(super) fn get(&self, id: KeyId) -> Arc<Key> {
        let mut known = self.known();
        if let Some(key) = known.keys.get(&id) {
            return Arc::clone(key);
        }
        if known.keys.len() >= known.most {
            known.keys.retain(|_, key| Arc::strong_count(key) > 1);
            // Not again before as many have come as were looked at.
            known.most = REMEMBERED.max(2 * known.keys.len());
        }
        let key = Arc::new(self.capacities.another());
        known.keys.insert(id, Arc::clone(&key));
        key
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is whole before anything can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Exhausted, FairShare},
        *,
    };

    fn keys() -> Keys {
        let share = FairShare { total: 8, reserved: 0, floor: 1, guaranteed: 0 };
        let capacity = SharedCapacity::new(Exhausted::InFlight, share, 1);
        Keys::new(Key {
            in_flight: capacity.clone(),
            open_rpcs: capacity.clone(),
            response_memory: capacity.clone(),
            waiting: capacity.clone(),
            unconfirmed: capacity,
        })
    }

    #[test]
    fn key_that_is_held_stays_the_same() {
        let keys = keys();
        let held = keys.get(KeyId(0));
        for other in 1..=10 * REMEMBERED as u64 {
            keys.get(KeyId(other));
        }
        assert!(Arc::ptr_eq(&held, &keys.get(KeyId(0))));
    }

    #[test]
    fn keys_without_an_rpc_are_forgotten() {
        let keys = keys();
        let held: Vec<_> = (0..10).map(|id| keys.get(KeyId(id))).collect();
        for other in 10..10 * REMEMBERED as u64 {
            keys.get(KeyId(other));
            assert!(keys.known().keys.len() <= REMEMBERED + held.len());
        }
    }
}
