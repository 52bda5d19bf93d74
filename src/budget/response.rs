//! The memory of one RPC's response.
//!
//! A response learns its size only while it arrives. It then needs more than it holds,
//! and if there is no room it waits, for a limited time, and reads on only afterwards.
//!
//! # Why no response waits for ever
//!
//! There are two ways to wait:
//!
//! 1. A response that has read nothing yet waits for all that it needs, in the queue of
//!    the shared memory. It holds its initial memory only, and the waiters together hold
//!    up to an eighth of what is shared. Smaller responses that come later may find memory
//!    before it does, again and again. So after half of its time it waits for its turn,
//!    too.
//! 2. A response that has read a part, or that needs more than it could get besides the
//!    first kind, waits for its turn. One response at a time has the turn, in the order
//!    in which they came, and the turn has memory of its own: a quarter of all.
//!
//! A response that has its turn never waits to read on: if it needs more still, it fails.
//! Neither does one that holds all that it needs. So both have their message by
//! Polytomic's last byte or their deadline.
//!
//! A message stays until its client has read it or its connection is closed for not
//! reading (`--write-timeout`). So that no reader keeps the turn from others, a message
//! that was made within the turn gets other memory before it is sent: what its response
//! held of the shared memory, more of that, or that of messages, an eighth of all, which
//! nothing else uses. While clients read, the last is free again after some time. So the
//! turn passes on, and every response of the second kind gets it. When those have ended
//! too, nothing is left but waiters of the first kind, and what one of them needs is
//! free. No circle of responses that wait for each other is possible.
//!
//! Streams hold shared memory until their client has read them, which has no end of its
//! own. They have no turn and, once they hold memory, never wait for more: a stream that
//! finds none fails. What connections have written and their peers have not read holds
//! shared memory, too, and never waits for any. Responses of the first kind may wait for
//! memory that these hold; the turn and the messages' eighth are not theirs, so the second
//! kind gets on, and what waits in vain fails in time.
//!
//! Two more cases are not covered: a message above an eighth of the memory, which is
//! larger than its JSON, and clients that do not read, whose messages keep that eighth.
//! Then a message waits for shared memory with its turn, while others may hold some and
//! wait for the turn. That ends in time: each waits for half of what is left until its
//! deadline, then fails.

mod limits;
mod stream;

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{Either, select};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};

pub(super) use self::limits::ResponseLimits;
use super::{Exhausted, Reservation, SharedCapacity, keys::Key};

/// What an RPC's response holds, until the socket or the connection's batch has it.
#[derive(Debug)]
pub struct ResponseMemory {
    held: Mutex<Held>,
    /// The shared memory, as the client of the response sees it.
    shared: SharedCapacity,
    /// The responses that wait for it.
    waiting: SharedCapacity,
    limits: Arc<ResponseLimits>,
    _open: Reservation,
    /// The key that the response counts for, if it is known.
    _key: Option<Arc<Key>>,
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    turn: Option<OwnedSemaphorePermit>,
    /// What was reserved of [`ResponseLimits::messages`].
    message: Option<OwnedSemaphorePermit>,
}

/// A message is rarely larger than its JSON, of which only parts are in memory with it. A
/// limit that allows for twice its size holds for a message that grows while it is made,
/// and for JSON that is one large value.
const JSON_AND_MESSAGE: usize = 2;

impl ResponseMemory {
    pub(super) fn new(
        open: Reservation,
        reservation: Reservation,
        shared: SharedCapacity,
        waiting: SharedCapacity,
        limits: Arc<ResponseLimits>,
        key: Option<Arc<Key>>,
    ) -> Self {
        let held = Mutex::new(Held { reservation, turn: None, message: None });
        Self { held, shared, waiting, limits, _open: open, _key: key }
    }

    /// Returns the maximum bytes of JSON for which `memory` bytes are enough.
    pub(super) fn largest_json(memory: usize) -> usize {
        memory / JSON_AND_MESSAGE
    }

    /// Returns the maximum bytes that a response can hold.
    pub(super) fn largest(&self) -> usize {
        self.limits.largest()
    }

    /// Grows to `bytes` in all, unless it has as many already.
    ///
    /// # Errors
    ///
    /// If the client may not hold as many now; what is held stays as it was.
    pub(super) fn try_grow_to(&self, bytes: usize) -> Result<(), Exhausted> {
        let mut held = self.held();
        let bytes = bytes.saturating_sub(self.bytes_of_turn(&held));
        if bytes <= held.reservation.bytes() {
            return Ok(());
        }
        self.resize(&mut held.reservation, bytes)
    }

    /// As [`try_grow_to`](Self::try_grow_to), but waits for memory.
    ///
    /// # Errors
    ///
    /// If there is no memory by `until`. Immediately, if too many of the client's
    /// responses wait, or if there can never be as much.
    pub(super) async fn grow_to(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        let Err(exhausted) = self.try_grow_to(bytes) else { return Ok(()) };
        let largest = self.largest();
        if bytes > largest {
            return Err(Exhausted::TooLarge { largest });
        }
        let holds = {
            let held = self.held();
            if held.turn.is_some() {
                return Err(exhausted);
            }
            held.reservation.bytes()
        };
        let ResponseLimits { initial, largest_shared, turn_units, ref turn, .. } =
            *self.limits;
        let _waiting = self.waiting.try_reserve().map_err(|_| exhausted)?;
        self.limits.waits.add();
        let may_share = holds <= initial && bytes <= largest_shared;
        let shared = async {
            if may_share {
                self.shared.reserve_bytes(bytes).await
            } else {
                pending().await
            }
        };
        let turn = async {
            if may_share {
                sleep_until(half_until(until)).await;
            }
            let turn = Arc::clone(turn).acquire_many_owned(turn_units).await;
            turn.expect("the semaphore is never closed")
        };
        let (shared, turn) = (pin!(shared), pin!(turn));
        match timeout_at(until, select(shared, turn)).await.map_err(|_| exhausted)? {
            Either::Left((reserved, _)) => {
                self.held().reservation = reserved;
                return Ok(());
            }
            Either::Right((turn, _)) => self.held().turn = Some(turn),
        }
        self.try_grow_to(bytes)
    }

    /// Waits for `bytes` that a response is expected to need, if they are few enough for
    /// the shared memory. The turn is for responses that have arrived: one that has not
    /// would keep it while Polytomic works.
    ///
    /// # Errors
    ///
    /// As [`grow_to`](Self::grow_to).
    pub(super) async fn expect(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        let Err(exhausted) = self.try_grow_to(bytes) else { return Ok(()) };
        if bytes > self.limits.largest_shared {
            return Ok(());
        }
        let _waiting = self.waiting.try_reserve().map_err(|_| exhausted)?;
        self.limits.waits.add();
        let reserved = timeout_at(until, self.shared.reserve_bytes(bytes)).await;
        self.held().reservation = reserved.map_err(|_| exhausted)?;
        Ok(())
    }

    /// Holds a message of `bytes`, whose JSON is dropped, and no turn. A message that was
    /// made within the turn waits for shared memory or for that of messages: it stays
    /// until the client has read it, and the turn must not.
    ///
    /// # Errors
    ///
    /// If there is no memory by `until`.
    pub(super) async fn hold_message(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        let (exhausted, beyond) = {
            let held = &mut *self.held();
            let Err(exhausted) = self.resize(&mut held.reservation, bytes) else {
                held.turn = None;
                return Ok(());
            };
            let counts = held.reservation.is_of(&self.shared);
            let holds = if counts { held.reservation.bytes() } else { 0 };
            (exhausted, bytes - holds)
        };
        let ResponseLimits { unit, ref messages, .. } = *self.limits;
        let units = u32::try_from(beyond.div_ceil(unit)).map_err(|_| exhausted)?;
        let shared = pin!(self.shared.reserve_bytes(beyond));
        let message = pin!(Arc::clone(messages).acquire_many_owned(units));
        let reserved = timeout_at(until, select(shared, message)).await;
        let reserved = reserved.map_err(|_| exhausted)?;
        let held = &mut *self.held();
        match reserved {
            Either::Left((shared, _)) if held.reservation.is_of(&self.shared) => {
                held.reservation.join(shared);
            }
            Either::Left((shared, _)) => held.reservation = shared,
            Either::Right((message, _)) => {
                held.message = Some(message.expect("the semaphore is never closed"));
            }
        }
        held.turn = None;
        Ok(())
    }

    /// What is guaranteed to a connection is for small responses. A larger one counts
    /// for its key in any case.
    fn resize(
        &self,
        reservation: &mut Reservation,
        bytes: usize,
    ) -> Result<(), Exhausted> {
        if bytes <= reservation.bytes() || reservation.is_of(&self.shared) {
            return reservation.resize_to(bytes);
        }
        *reservation = self.shared.try_reserve_bytes(bytes)?;
        Ok(())
    }

    /// Shrinks to what a response holds before its size is known.
    pub(super) fn start_again(&self) {
        let held = &mut *self.held();
        (held.turn, held.message) = (None, None);
        if held.reservation.bytes() > self.limits.initial {
            let shrunk = held.reservation.resize_to(self.limits.initial);
            debug_assert_eq!(shrunk, Ok(()), "to shrink needs no units");
        }
    }

    fn bytes_of_turn(&self, held: &Held) -> usize {
        let units = held.turn.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        units * self.limits.unit
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each change is whole before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when to stop waiting for memory if the response is due at `deadline`: after
/// half of the time, so that it can still arrive.
pub(crate) fn wait_until(deadline: Instant) -> Instant {
    half_until(deadline)
}

fn half_until(moment: Instant) -> Instant {
    moment - moment.saturating_duration_since(Instant::now()) / 2
}

#[cfg(test)]
mod tests;
