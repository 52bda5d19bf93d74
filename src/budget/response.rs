//! The memory of one RPC's response.

use super::{Exhausted, Reservation};

/// What an RPC's response holds, until the client has read it.
#[derive(Debug)]
pub struct ResponseMemory {
    bytes: Reservation,
    _open: Reservation,
}

/// A JSON response and the message made of it are in memory together; the message is
/// rarely larger.
const JSON_AND_MESSAGE: usize = 2;

impl ResponseMemory {
    pub(super) fn new(open: Reservation, bytes: Reservation) -> Self {
        Self { bytes, _open: open }
    }

    /// Returns the maximum bytes of JSON for which `memory` bytes are enough.
    pub(super) fn largest_json(memory: usize) -> usize {
        memory / JSON_AND_MESSAGE
    }

    /// Grows for `json` bytes of a response and for its message.
    ///
    /// # Errors
    ///
    /// If there is not as much memory; what is held stays as it was.
    pub(crate) fn grow_for(&self, json: usize) -> Result<(), Exhausted> {
        self.bytes.grow_to(json.saturating_mul(JSON_AND_MESSAGE))
    }

    /// Shrinks to a message of `bytes`, whose JSON is dropped. Grows if the message is
    /// more than twice as large as the JSON was.
    ///
    /// # Errors
    ///
    /// As [`grow_for`](Self::grow_for).
    pub(crate) fn shrink_to(&self, bytes: usize) -> Result<(), Exhausted> {
        self.bytes.resize_to(bytes)
    }
}
