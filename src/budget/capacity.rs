//! One kind of thing that clients make the gateway hold, counted in units.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{Exhausted, FairShare};

/// A capacity that all clients share, as one of them sees it.
#[derive(Debug, Clone)]
pub struct SharedCapacity {
    shared: Arc<Shared>,
    /// Units that this client holds.
    held: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Shared {
    share: FairShare,
    /// Bytes per unit.
    unit: usize,
    error: Exhausted,
    /// Units that all clients hold.
    used: AtomicUsize,
}

impl SharedCapacity {
    /// Makes a capacity in units of `unit` bytes, at least one. `error` is that of a
    /// rejected reservation.
    #[must_use]
    pub fn new(error: Exhausted, share: FairShare, unit: usize) -> Self {
        let used = AtomicUsize::default();
        let shared = Arc::new(Shared { share, unit: unit.max(1), error, used });
        Self { shared, held: Arc::default() }
    }

    /// Returns the same capacity for another client.
    #[must_use]
    pub fn for_client(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), held: Arc::default() }
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

    fn units(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.shared.unit).max(1)
    }

    fn acquire(&self, units: usize) -> Result<(), Exhausted> {
        let Shared { share, used, error, .. } = &*self.shared;
        let allows =
            |held: usize, used: usize| held <= share.limit(used.saturating_sub(held));
        // What is rejected must not be counted, not even for a moment: the client's
        // other RPCs would be rejected for it.
        let before = self
            .held
            .fetch_update(Relaxed, Relaxed, |held| {
                let held = held + units;
                allows(held, used.load(Relaxed) + units).then_some(held)
            })
            .map_err(|_| *error)?;
        let acquired = used.fetch_update(Relaxed, Relaxed, |used| {
            allows(before + units, used + units).then_some(used + units)
        });
        if acquired.is_err() {
            self.held.fetch_sub(units, Relaxed);
            return Err(*error);
        }
        Ok(())
    }

    fn release(&self, units: usize) {
        self.shared.used.fetch_sub(units, Relaxed);
        self.held.fetch_sub(units, Relaxed);
    }
}

/// Units of a capacity that are held while this lives, at least one.
#[derive(Debug)]
pub struct Reservation {
    capacity: SharedCapacity,
    units: AtomicUsize,
}

impl Reservation {
    /// Grows to `bytes` in all, unless it has as many already.
    ///
    /// # Errors
    ///
    /// If the client would then hold more than it may; the reservation stays as it
    /// was.
    pub fn grow_to(&self, bytes: usize) -> Result<(), Exhausted> {
        if bytes <= self.units.load(Relaxed) * self.capacity.shared.unit {
            return Ok(());
        }
        self.resize_to(bytes)
    }

    /// Grows or shrinks to `bytes` in all.
    ///
    /// # Errors
    ///
    /// As [`grow_to`](Self::grow_to); never if it shrinks.
    pub fn resize_to(&self, bytes: usize) -> Result<(), Exhausted> {
        let wanted = self.capacity.units(bytes);
        let units = self.units.load(Relaxed);
        if wanted > units {
            self.capacity.acquire(wanted - units)?;
        }
        self.capacity.release(units.saturating_sub(wanted));
        self.units.store(wanted, Relaxed);
        Ok(())
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

    use std::{mem, thread};

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
                let client = take_all(&capacity.for_client());
                assert_eq!(client.len(), share.limit(others), "{share:?}, {others}");
                held.push(client);
            }
        }
    }

    #[test]
    fn released_units_are_free_for_others() {
        let capacity = capacity(SHARE);
        let held: Vec<_> =
            (0..SHARE.total).map(|_| take_all(&capacity.for_client())).collect();
        let late = capacity.for_client();
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
                    (0..clients).map(|_| capacity.for_client()).collect();
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
        assert!(capacity.for_client().try_reserve().is_ok());
    }

    #[test]
    fn only_a_resize_shrinks_a_reservation() {
        let capacity = capacity(SHARE);
        let reservation = capacity.try_reserve_bytes(3 * UNIT).unwrap();
        reservation.grow_to(UNIT).unwrap();
        assert_eq!(used(&capacity), 3);
        reservation.resize_to(UNIT).unwrap();
        reservation.grow_to(2 * UNIT).unwrap();
        assert_eq!(used(&capacity), 2);
        drop(reservation);
        assert_eq!(used(&capacity), 0);
    }
}
