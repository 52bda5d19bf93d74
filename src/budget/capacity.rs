//! One kind of thing that clients make the gateway hold, counted in units.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use super::{Exhausted, FairShare, waiting::Queue};

/// A capacity that all clients share, as one of them sees it.
#[derive(Debug, Clone)]
pub struct SharedCapacity {
    shared: Arc<Shared>,
    client: Client,
    /// Units that this client holds.
    held: Arc<AtomicUsize>,
}

/// What the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Connection,
    Key,
}

/// When units were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rejected {
    Immediately,
    /// Others were faster. The client held the units for a moment, in which one of its
    /// waiters may have been passed over.
    AfterAll,
}

#[derive(Debug)]
struct Shared {
    share: FairShare,
    /// Bytes per unit.
    unit: usize,
    error: Exhausted,
    /// Units that all clients hold.
    used: AtomicUsize,
    queue: Queue,
}

impl SharedCapacity {
    /// Makes a capacity in units of `unit` bytes, at least one. `error` is that of a
    /// rejected reservation.
    #[must_use]
    pub fn new(error: Exhausted, share: FairShare, unit: usize) -> Self {
        let (used, queue) = (AtomicUsize::default(), Queue::default());
        let shared = Arc::new(Shared { share, unit: unit.max(1), error, used, queue });
        Self { shared, client: Client::Connection, held: Arc::default() }
    }

    /// Returns the same capacity for another connection.
    #[must_use]
    pub fn for_connection(&self) -> Self {
        self.for_client(Client::Connection)
    }

    /// Returns the same capacity for a key. Nothing is guaranteed to it, because the
    /// number of keys has no limit.
    #[must_use]
    pub fn for_key(&self) -> Self {
        self.for_client(Client::Key)
    }

    fn for_client(&self, client: Client) -> Self {
        Self { shared: Arc::clone(&self.shared), client, held: Arc::default() }
    }

    /// Returns how many units all clients together may hold, without those guaranteed.
    pub(super) fn total(&self) -> usize {
        self.shared.share.total
    }

    /// Returns how many units all clients hold.
    pub(super) fn used(&self) -> usize {
        self.shared.used.load(SeqCst)
    }

    /// Returns the bytes of a unit.
    pub(super) fn unit(&self) -> usize {
        self.shared.unit
    }

    /// Reserves one unit.
    ///
    /// # Errors
    ///
    /// If the client would then hold more than its [`FairShare::limit`].
    pub fn try_reserve(&self) -> Result<Reservation, Exhausted> {
        self.try_reserve_bytes(self.shared.unit)
    }

    /// Reserves units for `bytes`, at least one.
    ///
    /// # Errors
    ///
    /// As [`try_reserve`](Self::try_reserve).
    pub fn try_reserve_bytes(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        let units = self.units(bytes);
        self.acquire(units)?;
        Ok(Reservation { capacity: self.clone(), units: AtomicUsize::new(units) })
    }

    /// As [`try_reserve_bytes`](Self::try_reserve_bytes), for the queue, whose lock is
    /// held: it serves nobody.
    pub(super) fn try_reserve_queued(&self, bytes: usize) -> Option<Reservation> {
        let units = self.units(bytes);
        self.try_acquire(units).ok()?;
        Some(Reservation { capacity: self.clone(), units: AtomicUsize::new(units) })
    }

    /// Reserves units for `bytes` of those that are guaranteed to the client, however
    /// many others hold.
    pub(super) fn try_reserve_guaranteed(&self, bytes: usize) -> Option<Reservation> {
        let units = self.units(bytes);
        let guaranteed = self.share().guaranteed;
        let acquired = self.held.fetch_update(SeqCst, SeqCst, |held| {
            (held + units <= guaranteed).then_some(held + units)
        });
        acquired.ok()?;
        self.shared.used.fetch_add(units, SeqCst);
        Some(Reservation { capacity: self.clone(), units: AtomicUsize::new(units) })
    }

    /// Reserves units for `bytes`, at least one, as soon as the client may hold them.
    pub(super) async fn reserve_bytes(&self, bytes: usize) -> Reservation {
        self.shared.queue.reserve(self, bytes).await
    }

    fn units(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.shared.unit).max(1)
    }

    /// Reports whether the client may hold `held` units while all together hold `used`.
    fn allows(&self, held: usize, used: usize) -> bool {
        held <= self.share().limit(used.saturating_sub(held))
    }

    fn share(&self) -> FairShare {
        match self.client {
            Client::Connection => self.shared.share,
            Client::Key => FairShare { guaranteed: 0, ..self.shared.share },
        }
    }

    fn error(&self) -> Exhausted {
        let (unit, error) = (self.shared.unit, self.shared.error);
        match self.client {
            Client::Connection => error,
            Client::Key => error.for_key(self.held.load(SeqCst), unit),
        }
    }

    fn acquire(&self, units: usize) -> Result<(), Exhausted> {
        self.try_acquire(units).map_err(|rejected| {
            if rejected == Rejected::AfterAll {
                self.shared.queue.serve();
            }
            self.error()
        })
    }

    fn try_acquire(&self, units: usize) -> Result<(), Rejected> {
        let used = &self.shared.used;
        // What is rejected must not be counted, not even for a moment: the client's
        // other RPCs would be rejected for it.
        let before = self
            .held
            .fetch_update(SeqCst, SeqCst, |held| {
                let held = held + units;
                self.allows(held, used.load(SeqCst) + units).then_some(held)
            })
            .map_err(|_| Rejected::Immediately)?;
        let acquired = used.fetch_update(SeqCst, SeqCst, |used| {
            self.allows(before + units, used + units).then_some(used + units)
        });
        if acquired.is_err() {
            self.held.fetch_sub(units, SeqCst);
            return Err(Rejected::AfterAll);
        }
        Ok(())
    }

    fn release(&self, units: usize) {
        self.held.fetch_sub(units, SeqCst);
        self.shared.used.fetch_sub(units, SeqCst);
        self.shared.queue.serve();
    }
}

/// Units of a capacity that are held while this lives, at least one.
#[derive(Debug)]
pub struct Reservation {
    capacity: SharedCapacity,
    units: AtomicUsize,
}

impl Reservation {
    /// Returns the bytes for which there are units.
    pub(super) fn bytes(&self) -> usize {
        self.units.load(SeqCst) * self.capacity.shared.unit
    }

    /// Reports whether the units count for this client.
    pub(super) fn is_of(&self, client: &SharedCapacity) -> bool {
        Arc::ptr_eq(&self.capacity.held, &client.held)
    }

    /// Grows or shrinks to `bytes` in all.
    ///
    /// # Errors
    ///
    /// If the client would then hold more than it may; the reservation stays as it
    /// was. Never if it shrinks.
    pub fn resize_to(&self, bytes: usize) -> Result<(), Exhausted> {
        let wanted = self.capacity.units(bytes);
        let units = self.units.load(SeqCst);
        if wanted > units {
            self.capacity.acquire(wanted - units)?;
        }
        self.units.store(wanted, SeqCst);
        if wanted < units {
            self.capacity.release(units - wanted);
        }
        Ok(())
    }

    /// Adds the units of another reservation of the same client.
    pub(super) fn join(&self, mut other: Self) {
        debug_assert!(self.is_of(&other.capacity), "they are of one client");
        self.units.fetch_add(mem::take(other.units.get_mut()), SeqCst);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.capacity.release(*self.units.get_mut());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::thread;

    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    const SHARE: FairShare =
        FairShare { total: 64, reserved: 32, floor: 4, guaranteed: 1 };
    const UNIT: usize = 4096;

    fn capacity(share: FairShare) -> SharedCapacity {
        SharedCapacity::new(Exhausted::InFlight, share, UNIT)
    }

    /// Reserves single units for a client until it gets no more.
    fn take_all(client: &SharedCapacity) -> Vec<Reservation> {
        (0..).map_while(|_| client.try_reserve().ok()).collect()
    }

    fn used(capacity: &SharedCapacity) -> usize {
        capacity.shared.used.load(Relaxed)
    }

    #[test]
    fn each_client_gets_what_the_formula_says() {
        for share in [
            SHARE,
            FairShare { guaranteed: 0, ..SHARE },
            FairShare { reserved: 0, ..SHARE },
            FairShare { total: 1, reserved: 0, floor: 4, guaranteed: 0 },
        ] {
            let capacity = capacity(share);
            let mut held = Vec::new();
            for _ in 0..2 * share.total {
                let others = used(&capacity);
                let client = take_all(&capacity.for_connection());
                assert_eq!(client.len(), share.limit(others), "{share:?}, {others}");
                held.push(client);
            }
        }
    }

    #[test]
    fn nothing_is_guaranteed_to_a_key() {
        let capacity = capacity(SHARE);
        let keys: Vec<_> =
            (0..2 * SHARE.total).flat_map(|_| take_all(&capacity.for_key())).collect();
        assert_eq!(keys.len(), SHARE.total);
        assert!(capacity.for_key().try_reserve_guaranteed(UNIT).is_none());
    }

    #[test]
    fn what_is_guaranteed_to_a_connection_is_reserved_whatever_others_hold() {
        let capacity = capacity(SHARE);
        let connection = capacity.for_connection();
        for others in [0, 2 * SHARE.total] {
            let _others: Vec<_> =
                (0..others).flat_map(|_| take_all(&capacity.for_key())).collect();
            let before = used(&capacity);
            assert!(connection.try_reserve_guaranteed(UNIT + 1).is_none());
            let reserved = connection.try_reserve_guaranteed(UNIT).unwrap();
            assert!(connection.try_reserve_guaranteed(UNIT).is_none());
            assert_eq!(used(&capacity), before + 1);
            drop(reserved);
            assert_eq!(used(&capacity), before);
        }
    }

    #[test]
    fn released_units_are_free_for_others() {
        let capacity = capacity(SHARE);
        let held: Vec<_> =
            (0..SHARE.total).map(|_| take_all(&capacity.for_connection())).collect();
        let late = capacity.for_connection();
        assert_eq!(take_all(&late).len(), SHARE.guaranteed);
        drop(held);
        assert_eq!(used(&capacity), 0);
        assert_eq!(take_all(&late).len(), SHARE.limit(0));
    }

    #[test]
    fn units_reserved_at_the_same_time_stay_within_the_total() {
        const THREADS: usize = 4;
        for guaranteed in [0, 1] {
            let share = FairShare { guaranteed, ..SHARE };
            let capacity = capacity(share);
            let clients = share.total;
            let reserve = || {
                let clients: Vec<_> =
                    (0..clients).map(|_| capacity.for_connection()).collect();
                // Never released: a release would hide a unit over the limit.
                (0..share.total)
                    .flat_map(|_| {
                        clients.iter().filter_map(|client| client.try_reserve().ok())
                    })
                    .map(mem::forget)
                    .count()
            };
            let reserved: usize = thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..THREADS).map(|_| scope.spawn(reserve)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            let most = share.total + guaranteed * THREADS * clients;
            assert!((share.total..=most).contains(&reserved), "{reserved}");
        }
    }

    #[test]
    fn reservation_holds_a_unit_per_started_unit_of_bytes() {
        let capacity = capacity(SHARE);
        let reservation = capacity.try_reserve().unwrap();
        for (bytes, units) in [(UNIT, 1), (UNIT + 1, 2), (0, 1), (9 * UNIT, 9)] {
            reservation.resize_to(bytes).unwrap();
            assert_eq!(used(&capacity), units, "{bytes} bytes");
        }
    }

    #[test]
    fn reservation_over_the_limit_stays_as_it_was() {
        let capacity = capacity(SHARE);
        let reservation = capacity.try_reserve().unwrap();
        let limit = SHARE.limit(0);
        reservation.resize_to(limit * UNIT).unwrap();
        let larger = reservation.resize_to(limit * UNIT + 1);
        assert_eq!(larger, Err(Exhausted::InFlight));
        assert_eq!(used(&capacity), limit);
        assert!(capacity.try_reserve().is_err());
        assert!(capacity.for_connection().try_reserve().is_ok());
    }

    #[test]
    fn reservation_that_ends_releases_its_units() {
        let capacity = capacity(SHARE);
        let reservation = capacity.try_reserve_bytes(3 * UNIT).unwrap();
        reservation.resize_to(2 * UNIT).unwrap();
        assert_eq!(used(&capacity), 2);
        drop(reservation);
        assert_eq!(used(&capacity), 0);
    }
}
