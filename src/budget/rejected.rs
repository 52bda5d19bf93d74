//! Large responses that got no memory lately.
//!
//! A response shows its size only once it arrives. One that then gets no memory was
//! work for nothing, for Polytomic, for the connection to it and for other clients.
//! The same request is likely to get a response of the same size, so its memory is
//! reserved before the request is sent, or it is not sent.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use moka::sync::Cache;

use super::{Exhausted, response::ResponseMemory};

/// Maximum requests that are remembered; the least used go first.
const ENTRIES: u64 = 4096;

/// How long a request is remembered: its response may have become smaller.
const LIFETIME: Duration = Duration::from_secs(10);

/// The requests whose responses got no memory, with the bytes that those needed.
#[derive(Debug)]
pub struct RejectedResponses {
    hasher: RandomState,
    needed: Cache<u64, usize>,
}

impl RejectedResponses {
    pub(crate) fn new() -> Self {
        Self::remembered_for(LIFETIME)
    }

    fn remembered_for(lifetime: Duration) -> Self {
        let needed =
            Cache::builder().max_capacity(ENTRIES).time_to_live(lifetime).build();
        Self { hasher: RandomState::new(), needed }
    }

    /// Reserves what the last response to `request` with the same `credentials` needed,
    /// if that got no memory. Other credentials may get another response.
    ///
    /// # Errors
    ///
    /// If there is still not as much.
    pub(crate) fn reserve<'a>(
        &'a self,
        memory: &'a ResponseMemory,
        request: impl Hash,
        credentials: &str,
    ) -> Result<ExpectedResponse<'a>, Exhausted> {
        let request = self.hasher.hash_one((request, credentials));
        if let Some(needed) = self.needed.get(&request) {
            memory.grow_to(needed)?;
        }
        Ok(ExpectedResponse { memory, request, rejected: self })
    }
}

/// The memory of a response, whose request is known.
#[derive(Debug)]
pub struct ExpectedResponse<'a> {
    memory: &'a ResponseMemory,
    request: u64,
    rejected: &'a RejectedResponses,
}

impl ExpectedResponse<'_> {
    /// Grows for `json` bytes of a response and for its message.
    ///
    /// # Errors
    ///
    /// If there is not as much memory; what is held stays as it was.
    pub(crate) fn grow_for(&self, json: usize) -> Result<(), Exhausted> {
        let needed = ResponseMemory::needed_for(json);
        self.memory.grow_to(needed).inspect_err(|_| self.remember(needed))
    }

    /// Shrinks to a message of `bytes`, whose JSON is dropped. Grows if the message is
    /// more than twice as large as the JSON was.
    ///
    /// # Errors
    ///
    /// As [`grow_for`](Self::grow_for).
    pub(crate) fn shrink_to(&self, bytes: usize) -> Result<(), Exhausted> {
        self.memory.resize_to(bytes).inspect_err(|_| self.remember(bytes))
    }

    fn remember(&self, needed: usize) {
        self.rejected.needed.insert(self.request, needed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::thread::yield_now;

    use super::{
        super::{FairShare, SharedCapacity},
        *,
    };

    const UNIT: usize = 4096;
    const MIB: usize = 1 << 20;
    const HOLDER: &str = "0123456789abcdef";

    fn memory(bytes: usize) -> ResponseMemory {
        let total = bytes / UNIT;
        let share = FairShare { total, reserved: 0, floor: total, guaranteed: 1 };
        let capacity = SharedCapacity::new(Exhausted::ResponseMemory, share, UNIT);
        let open = SharedCapacity::new(Exhausted::OpenRpcs, share, UNIT);
        let (open, bytes) =
            (open.try_reserve().unwrap(), capacity.try_reserve().unwrap());
        ResponseMemory::new(open, bytes, None)
    }

    /// Has `request` rejected for a JSON response of 2 MiB.
    fn reject(responses: &RejectedResponses, request: &str) {
        let memory = memory(MIB);
        let response = responses.reserve(&memory, request, HOLDER).unwrap();
        assert_eq!(response.grow_for(2 * MIB), Err(Exhausted::ResponseMemory));
    }

    fn is_sent(
        responses: &RejectedResponses,
        request: &str,
        credentials: &str,
        bytes: usize,
    ) -> bool {
        responses.reserve(&memory(bytes), request, credentials).is_ok()
    }

    #[test]
    fn rejected_request_is_sent_once_there_is_memory_for_its_response() {
        let responses = RejectedResponses::new();
        assert!(is_sent(&responses, "/a", HOLDER, UNIT));
        reject(&responses, "/a");
        assert!(!is_sent(&responses, "/a", HOLDER, 4 * MIB - UNIT));
        assert!(is_sent(&responses, "/a", HOLDER, 4 * MIB));
    }

    #[test]
    fn other_requests_and_other_credentials_are_sent() {
        let responses = RejectedResponses::new();
        reject(&responses, "/a");
        assert!(is_sent(&responses, "/b", HOLDER, UNIT));
        assert!(is_sent(&responses, "/a", "another", UNIT));
    }

    #[test]
    fn message_that_got_no_memory_is_remembered() {
        let responses = RejectedResponses::new();
        let memory = memory(MIB);
        let response = responses.reserve(&memory, "/a", HOLDER).unwrap();
        response.grow_for(UNIT).unwrap();
        assert_eq!(response.shrink_to(2 * MIB), Err(Exhausted::ResponseMemory));
        assert!(!is_sent(&responses, "/a", HOLDER, MIB));
    }

    #[test]
    fn rejected_request_is_sent_again_after_a_while() {
        let responses = RejectedResponses::remembered_for(Duration::from_millis(1));
        reject(&responses, "/a");
        while !is_sent(&responses, "/a", HOLDER, UNIT) {
            yield_now();
        }
    }
}
