//! Large responses that found no memory lately.
//!
//! A response shows its size only once it arrives. One that then waits for memory keeps
//! Polytomic waiting too, and a connection to it; one that gets none was work for nothing.
//! The same request is likely to get a response of the same size. So it waits for memory
//! before it is sent, and is not sent if it gets none: a client that does not read causes
//! few requests. One whose response is too large for the shared memory is sent in any
//! case, because the turn is not for responses that have not arrived.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
    time::Duration,
};

use moka::sync::Cache;
use tokio::time::Instant;

use super::{Exhausted, response::ResponseMemory};

/// Maximum requests that are remembered; the least used go first.
const ENTRIES: u64 = 4096;

/// How long a request is remembered: its response may have become smaller.
const LIFETIME: Duration = Duration::from_secs(10);

/// The requests whose responses found no memory, with the bytes that those needed.
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
    /// if there was no memory for that and the shared memory can have it. Other
    /// credentials may get another response.
    ///
    /// # Errors
    ///
    /// If there is still not as much by `until`.
    pub(crate) async fn reserve<'a>(
        &'a self,
        memory: &'a Arc<ResponseMemory>,
        request: impl Hash,
        credentials: &str,
        until: Instant,
    ) -> Result<ExpectedResponse<'a>, Exhausted> {
        let request = self.hasher.hash_one((request, credentials));
        if let Some(needed) = self.needed.get(&request) {
            memory.expect(needed, until).await?;
        }
        Ok(ExpectedResponse { memory, request, rejected: self })
    }
}

/// The memory of a response, whose request is known.
#[derive(Debug)]
pub struct ExpectedResponse<'a> {
    memory: &'a Arc<ResponseMemory>,
    request: u64,
    rejected: &'a RejectedResponses,
}

/// Reserves memory for a body while it arrives.
pub trait Reserve {
    /// Reserves memory for a total of `bytes` of JSON, and for a message of as many.
    /// Waits for it, and meanwhile no more of the body must be read.
    ///
    /// # Errors
    ///
    /// If there is none by `until`, or can never be.
    fn reserve(
        &self,
        bytes: usize,
        until: Instant,
    ) -> impl Future<Output = Result<(), Exhausted>> + Send;
}

/// Reserves nothing, for bodies that a small limit bounds.
impl Reserve for () {
    async fn reserve(&self, _bytes: usize, _until: Instant) -> Result<(), Exhausted> {
        Ok(())
    }
}

impl Reserve for &ExpectedResponse<'_> {
    async fn reserve(&self, bytes: usize, until: Instant) -> Result<(), Exhausted> {
        self.grow_to(ResponseMemory::needed_for(bytes), until).await
    }
}

impl ExpectedResponse<'_> {
    /// Grows for a message that needs more than `room` bytes, while its JSON of `json`
    /// bytes is in memory. Returns how many there are for the message.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Reserve::reserve).
    pub(crate) async fn grow_for_message(
        &self,
        json: usize,
        room: usize,
        until: Instant,
    ) -> Result<usize, Exhausted> {
        let largest = self.memory.largest().saturating_sub(json);
        // Beyond the largest it is an error.
        let larger = if room < largest { (2 * room).min(largest) } else { 2 * room };
        self.grow_to(json.saturating_add(larger), until).await?;
        Ok(larger)
    }

    async fn grow_to(&self, needed: usize, until: Instant) -> Result<(), Exhausted> {
        if self.memory.try_grow_to(needed).is_ok() {
            return Ok(());
        }
        self.remember(needed);
        self.memory.grow_to(needed, until).await
    }

    /// Grows to `bytes` for a stream, if the shared memory can have as many.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Reserve::reserve).
    pub(crate) async fn hold_window(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        self.memory.expect(bytes, until).await
    }

    /// Returns the memory, for work that its RPC may abandon.
    pub(crate) fn shared(&self) -> Arc<ResponseMemory> {
        Arc::clone(self.memory)
    }

    /// Shrinks to what a response holds before its size is known. Not while abandoned
    /// work still uses it.
    pub(crate) fn start_again(&self) {
        if Arc::strong_count(self.memory) == 1 {
            self.memory.start_again();
        }
    }

    /// Holds a message of `bytes`, whose JSON is dropped, until the client has read it.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Reserve::reserve).
    pub(crate) async fn hold_message(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        self.memory.hold_message(bytes, until).await
    }

    fn remember(&self, needed: usize) {
        self.rejected.needed.insert(self.request, needed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::{sync::Semaphore, task::yield_now};

    use super::{
        super::{FairShare, SharedCapacity, response::ResponseLimits},
        *,
    };

    const UNIT: usize = 4096;
    const MIB: usize = 1 << 20;
    const HOLDER: &str = "0123456789abcdef";

    /// Returns the memory of a response for which there are this many bytes.
    fn memory(bytes: usize) -> Arc<ResponseMemory> {
        let total = bytes / UNIT;
        let share = FairShare { total, reserved: 0, floor: total, guaranteed: 1 };
        let capacity = SharedCapacity::new(Exhausted::ResponseMemory, share, UNIT);
        let (open, held) =
            (capacity.for_key().try_reserve(), capacity.for_connection().try_reserve());
        let limits = ResponseLimits {
            initial: UNIT,
            largest_alone: 8 * MIB,
            largest_shared: 8 * MIB,
            unit: UNIT,
            turn_units: 0,
            turn: Arc::new(Semaphore::new(0)),
            messages: Arc::new(Semaphore::new(0)),
        };
        let waiting = capacity.for_connection();
        Arc::new(ResponseMemory::new(
            open.unwrap(),
            held.unwrap(),
            capacity,
            waiting,
            Arc::new(limits),
            None,
        ))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    /// Has `request` rejected for a JSON response of 2 MiB.
    async fn reject(responses: &RejectedResponses, request: &str) {
        let memory = memory(MIB);
        let response = responses.reserve(&memory, request, HOLDER, soon()).await.unwrap();
        let rejected = (&response).reserve(2 * MIB, soon()).await;
        assert_eq!(rejected, Err(Exhausted::ResponseMemory));
    }

    async fn is_sent(
        responses: &RejectedResponses,
        request: &str,
        credentials: &str,
        bytes: usize,
    ) -> bool {
        let memory = memory(bytes);
        responses.reserve(&memory, request, credentials, soon()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_request_is_sent_once_there_is_memory_for_its_response() {
        let responses = RejectedResponses::new();
        assert!(is_sent(&responses, "/a", HOLDER, 3 * UNIT).await);
        reject(&responses, "/a").await;
        assert!(!is_sent(&responses, "/a", HOLDER, 4 * MIB).await);
        assert!(is_sent(&responses, "/a", HOLDER, 5 * MIB).await);
    }

    #[tokio::test(start_paused = true)]
    async fn other_requests_and_other_credentials_are_sent() {
        let responses = RejectedResponses::new();
        reject(&responses, "/a").await;
        assert!(is_sent(&responses, "/b", HOLDER, 3 * UNIT).await);
        assert!(is_sent(&responses, "/a", "another", 3 * UNIT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn message_that_found_no_memory_is_remembered() {
        let responses = RejectedResponses::new();
        let memory = memory(MIB);
        let response = responses.reserve(&memory, "/a", HOLDER, soon()).await.unwrap();
        (&response).reserve(UNIT, soon()).await.unwrap();
        let rejected = response.grow_for_message(UNIT, MIB, soon()).await;
        assert_eq!(rejected, Err(Exhausted::ResponseMemory));
        assert!(!is_sent(&responses, "/a", HOLDER, MIB).await);
    }

    #[tokio::test]
    async fn rejected_request_is_sent_again_after_a_while() {
        let responses = RejectedResponses::remembered_for(Duration::from_millis(1));
        reject(&responses, "/a").await;
        while !is_sent(&responses, "/a", HOLDER, 3 * UNIT).await {
            yield_now().await;
        }
    }
}
