//! The memory of one RPC's response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Exhausted, Reservation, keys::Key};

/// What an RPC's response holds, until the client has read it.
#[derive(Debug)]
pub struct ResponseMemory {
    bytes: Mutex<Reservation>,
    _open: Reservation,
    /// The key that the response counts for, if it is known.
    key: Option<Arc<Key>>,
}

/// A JSON response and the message made of it are in memory together; the message is
/// rarely larger.
const JSON_AND_MESSAGE: usize = 2;

impl ResponseMemory {
    pub(super) fn new(
        open: Reservation,
        bytes: Reservation,
        key: Option<Arc<Key>>,
    ) -> Self {
        Self { bytes: Mutex::new(bytes), _open: open, key }
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
        let mut held = self.held();
        if bytes <= held.bytes() { Ok(()) } else { self.resize(&mut held, bytes) }
    }

    pub(super) fn resize_to(&self, bytes: usize) -> Result<(), Exhausted> {
        self.resize(&mut self.held(), bytes)
    }

    /// What is guaranteed to a connection is for small responses. A larger one counts
    /// for its key in any case.
    fn resize(&self, held: &mut Reservation, bytes: usize) -> Result<(), Exhausted> {
        match &self.key {
            Some(key) if bytes > held.bytes() && !held.is_of(&key.response_memory) => {
                *held = key.response_memory.try_reserve_bytes(bytes)?;
                Ok(())
            }
            _ => held.resize_to(bytes),
        }
    }

    fn held(&self) -> MutexGuard<'_, Reservation> {
        // Each change is whole before anything can panic.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
