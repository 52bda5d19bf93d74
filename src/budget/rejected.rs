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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::time::Instant;

use super::{Exhausted, KeyId, response::ResponseMemory};

/// Maximum requests that are remembered; the least used go first.
const ENTRIES: u64 = 4096;

/// How long a request is remembered: its response may have become smaller.
const LIFETIME: Duration = Duration::from_secs(10);

/// The requests whose responses found no memory, with the bytes that those needed.
#[derive(Debug)]
pub struct RejectedResponses {
    hasher: RandomState,
    needed: Cache<u64, usize>,
    lifetime: Duration,
    /// When the last one was remembered. While there is none, none is looked up.
    last: Mutex<Option<Instant>>,
}

impl RejectedResponses {
    pub(crate) fn new() -> Self {
        Self::remembered_for(LIFETIME)
    }

    fn remembered_for(lifetime: Duration) -> Self {
        let needed =
            Cache::builder().max_capacity(ENTRIES).time_to_live(lifetime).build();
        Self { hasher: RandomState::new(), needed, lifetime, last: Mutex::default() }
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
        credentials: KeyId,
        until: Instant,
    ) -> Result<ExpectedResponse<'a>, Exhausted> {
        let request = self.hasher.hash_one((request, credentials));
        if self.has_some()
            && let Some(needed) = self.needed.get(&request)
        {
            memory.expect(needed, until).await?;
        }
        Ok(ExpectedResponse { memory, request: Some(request), rejected: self })
    }

    /// Returns the memory of a stream. What it needs is known before it is sent, and is
    /// not what a list with the same request needs. So nothing is looked up for it, and
    /// nothing remembered.
    pub(crate) fn of_stream<'a>(
        &'a self,
        memory: &'a Arc<ResponseMemory>,
    ) -> ExpectedResponse<'a> {
        ExpectedResponse { memory, request: None, rejected: self }
    }

    fn has_some(&self) -> bool {
        self.last().is_some_and(|last| last.elapsed() < self.lifetime)
    }

    fn remember(&self, request: u64, needed: usize) {
        self.needed.insert(request, needed);
        *self.last() = Some(Instant::now());
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a response, whose request is known.
#[derive(Debug)]
pub struct ExpectedResponse<'a> {
    memory: &'a Arc<ResponseMemory>,
    /// Under which it is remembered.
    request: Option<u64>,
    rejected: &'a RejectedResponses,
}

/// Reserves memory for a response while it arrives.
pub trait Reserve {
    /// Reserves a total of `bytes`. Waits for them, and meanwhile no more of the body must
    /// be read.
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
        self.grow_to(bytes, until).await
    }
}

impl ExpectedResponse<'_> {
    /// Returns the maximum bytes that the response can hold.
    pub(crate) fn largest(&self) -> usize {
        self.memory.largest()
    }

    async fn grow_to(&self, needed: usize, until: Instant) -> Result<(), Exhausted> {
        if self.memory.try_grow_to(needed).is_ok() {
            return Ok(());
        }
        if let Some(request) = self.request {
            self.rejected.remember(request, needed);
        }
        self.memory.grow_to(needed, until).await
    }

    /// Grows to `bytes` for a stream, before it is sent.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Reserve::reserve).
    pub(crate) async fn hold_window(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        self.memory.hold_window(bytes, until).await
    }

    /// Returns the memory, for a stream, which outlives its attempt.
    pub(crate) fn shared(&self) -> Arc<ResponseMemory> {
        Arc::clone(self.memory)
    }

    /// Shrinks to what a response holds before its size is known.
    pub(crate) fn start_again(&self) {
        self.memory.start_again();
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::{sync::Semaphore, task::yield_now};

    use super::{
        super::{FairShare, SharedCapacity, response::ResponseLimits},
        *,
    };
    use crate::telemetry::Counter;

    const UNIT: usize = 4096;
    const MIB: usize = 1 << 20;
    const HOLDER: KeyId = KeyId(1);

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
            waits: Counter::default(),
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

    /// Has `request` rejected for a response of 4 MiB.
    async fn reject(responses: &RejectedResponses, request: &str) {
        let memory = memory(MIB);
        let response = responses.reserve(&memory, request, HOLDER, soon()).await.unwrap();
        let rejected = (&response).reserve(4 * MIB, soon()).await;
        assert_eq!(rejected, Err(Exhausted::ResponseMemory));
    }

    async fn is_sent(
        responses: &RejectedResponses,
        request: &str,
        credentials: KeyId,
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
        assert!(is_sent(&responses, "/a", KeyId(2), 3 * UNIT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stream_needs_is_not_remembered() {
        let responses = RejectedResponses::new();
        let memory = memory(MIB);
        let stream = responses.of_stream(&memory);
        let rejected = (&stream).reserve(4 * MIB, soon()).await;
        assert_eq!(rejected, Err(Exhausted::ResponseMemory));
        assert!(!responses.has_some());
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
