//! How much memory there is for responses.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::telemetry::Counter;

/// How large responses may become.
#[derive(Debug)]
pub(in crate::budget) struct ResponseLimits {
    /// Bytes that a response holds before its size is known.
    pub(in crate::budget) initial: usize,
    /// Maximum bytes of shared memory for a response without others.
    pub(in crate::budget) largest_alone: usize,
    /// Maximum bytes for which a response waits in the queue of the shared memory.
    pub(in crate::budget) largest_shared: usize,
    /// Bytes per unit of the turn.
    pub(in crate::budget) unit: usize,
    /// The units of the turn. The response that has the turn holds them all.
    pub(in crate::budget) turn_units: u32,
    pub(in crate::budget) turn: Arc<Semaphore>,
    /// Units for messages that were made within the turn.
    pub(in crate::budget) messages: Arc<Semaphore>,
    /// Responses that have waited, each time that they did.
    pub(in crate::budget) waits: Counter,
}

impl ResponseLimits {
    /// Returns the maximum bytes that a response can hold, if there are no others.
    pub(in crate::budget) fn largest(&self) -> usize {
        self.largest_after_waiting().max(self.largest_alone)
    }

    /// Returns the maximum bytes that a response can hold after a wait, whatever others
    /// hold.
    pub(in crate::budget) fn largest_after_waiting(&self) -> usize {
        let turn = self.turn_units as usize * self.unit + self.initial;
        turn.max(self.largest_shared)
    }
}
