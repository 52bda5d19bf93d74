//! The circuits of single holders.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{super::Circuit, own::OwnCircuit};

/// Maximum number of holders whose failures are counted: about 2 MiB. The failures of
/// further holders open no circuit of theirs.
pub(super) const MAX_HOLDERS: usize = 10_000;

/// How long a holder without requests is remembered: longer than its circuit is open.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Least time between two searches for holders to forget.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The circuits of holders with failures. Working ones cost no memory.
#[derive(Debug)]
pub(super) struct OwnCircuits {
    entries: HashMap<u64, Entry>,
    next_sweep: Instant,
}

#[derive(Debug)]
struct Entry {
    circuit: OwnCircuit,
    kind: Circuit,
    used_at: Instant,
}

impl OwnCircuits {
    pub(super) fn new(now: Instant) -> Self {
        Self { entries: HashMap::new(), next_sweep: now }
    }

    /// Returns the circuit of a holder that has failed.
    pub(super) fn get(&mut self, holder: u64, now: Instant) -> Option<&mut OwnCircuit> {
        let entry = self.entries.get_mut(&holder)?;
        if now - entry.used_at >= IDLE {
            entry.circuit = OwnCircuit::new(now);
        }
        entry.used_at = now;
        Some(&mut entry.circuit)
    }

    /// Returns how many circuits of keys and how many of paths are open.
    pub(super) fn open(&self, now: Instant) -> [usize; 2] {
        let is_open =
            |entry: &&Entry| entry.circuit.is_open() && now - entry.used_at < IDLE;
        let open = self.entries.values().filter(is_open);
        let (keys, paths): (Vec<_>, Vec<_>) =
            open.partition(|entry| entry.kind == Circuit::Key);
        [keys.len(), paths.len()]
    }

    /// As [`get`](Self::get), but adds the holder if there is room for it.
    pub(super) fn get_or_add(
        &mut self,
        holder: u64,
        kind: Circuit,
        now: Instant,
    ) -> Option<&mut OwnCircuit> {
        if self.entries.len() >= MAX_HOLDERS && !self.entries.contains_key(&holder) {
            self.sweep(now);
            if self.entries.len() >= MAX_HOLDERS {
                return None;
            }
        }
        let new = || Entry { circuit: OwnCircuit::new(now), kind, used_at: now };
        self.entries.entry(holder).or_insert_with(new);
        self.get(holder, now)
    }

    /// Forgets all holders.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    fn sweep(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_INTERVAL;
            self.entries.retain(|_, entry| now - entry.used_at < IDLE);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn number_of_holders_is_bounded_and_unused_ones_are_forgotten() {
        let start = Instant::now();
        let mut circuits = OwnCircuits::new(start);
        let most = MAX_HOLDERS as u64;
        for holder in 0..most {
            assert!(circuits.get_or_add(holder, Circuit::Key, start).is_some());
        }
        assert!(circuits.get_or_add(most, Circuit::Key, start).is_none());
        assert!(circuits.get_or_add(0, Circuit::Key, start).is_some());
        let later = start + IDLE - Duration::from_secs(1);
        assert!(circuits.get(1, later).is_some());
        assert!(
            circuits.get_or_add(most, Circuit::Key, later).is_none(),
            "all are remembered"
        );
        let later = start + IDLE + SWEEP_INTERVAL;
        assert!(circuits.get_or_add(most, Circuit::Key, later).is_some());
        assert_eq!(circuits.entries.len(), 2);
    }

    #[test]
    fn holder_that_comes_again_after_a_pause_begins_anew() {
        let start = Instant::now();
        let mut circuits = OwnCircuits::new(start);
        circuits.get_or_add(1, Circuit::Key, start).unwrap().rest(start + IDLE);
        let later = start + IDLE;
        assert_eq!(circuits.get(1, later).unwrap().rested_at(), later);
    }
}
