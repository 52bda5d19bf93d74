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

    /// Returns the bytes that are needed for `json` bytes of a response.
    pub(super) fn needed_for(json: usize) -> usize {
        json.saturating_mul(JSON_AND_MESSAGE)
    }

    /// Returns the maximum bytes of JSON for which `memory` bytes are enough.
    pub(super) fn largest_json(memory: usize) -> usize {
        memory / JSON_AND_MESSAGE
    }

    pub(super) fn grow_to(&self, bytes: usize) -> Result<(), Exhausted> {
        self.bytes.grow_to(bytes)
    }

    pub(super) fn resize_to(&self, bytes: usize) -> Result<(), Exhausted> {
        self.bytes.resize_to(bytes)
    }
}
