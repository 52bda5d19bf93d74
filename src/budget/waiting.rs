//! Reservations that wait for units, served in the order in which they came.
//!
//! One that its client may not hold yet is passed over: it would hold up the others for
//! a client that does not read. What does not wait asks for units without a look at the
//! queue. So while smaller or later reservations find units, one that needs many may wait
//! until its time is over.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::oneshot;

use super::{Reservation, SharedCapacity};

/// Those who wait for one capacity.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// How many wait, or are about to.
    length: AtomicUsize,
    waiters: Mutex<VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    client: SharedCapacity,
    bytes: usize,
    reserved: oneshot::Sender<Reservation>,
}

impl Queue {
    /// Reserves units for `bytes` as soon as the client may hold them, and no waiter before
    /// it takes them. Dropping the future leaves the queue.
    pub(super) async fn reserve(
        &self,
        client: &SharedCapacity,
        bytes: usize,
    ) -> Reservation {
        // From here on each release looks into the queue, or the attempt below sees it.
        self.length.fetch_add(1, SeqCst);
        let _leave = Leave(self);
        let receiver = {
            let mut waiters = self.waiters();
            if let Some(reservation) = client.try_reserve_queued(bytes) {
                return reservation;
            }
            let (reserved, receiver) = oneshot::channel();
            waiters.push_back(Waiter { client: client.clone(), bytes, reserved });
            receiver
        };
        receiver.await.expect("a waiter stays in the queue until it is served")
    }

    /// Serves those who may hold what they wait for, after units were released.
    pub(super) fn serve(&self) {
        if self.length.load(SeqCst) == 0 {
            return;
        }
        let mut late = Vec::new();
        {
            let mut waiters = self.waiters();
            let mut index = 0;
            while let Some(waiter) = waiters.get(index) {
                let Some(reservation) = waiter.client.try_reserve_queued(waiter.bytes)
                else {
                    index += 1;
                    continue;
                };
                let waiter = waiters.remove(index).expect("it was there");
                late.extend(waiter.reserved.send(reservation).err());
            }
        }
        // Of those who have left meanwhile. To release units serves the queue again.
        drop(late);
    }

    fn waiters(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        // Each change is whole before anything can panic.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the queue when it is dropped.
struct Leave<'a>(&'a Queue);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.waiters().retain(|waiter| !waiter.reserved.is_closed());
        self.0.length.fetch_sub(1, SeqCst);
    }
}
