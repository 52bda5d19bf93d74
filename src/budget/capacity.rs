//! Capacity shared by all connections, with a fair share for each.
//!
//! A server that holds whatever it is given can be filled by one peer. So there
//! are places for so much, what is large takes several, and a connection that
//! holds much does not take the places of the others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The places on all connections, counted for one.
#[derive(Debug, Clone)]
pub struct SharedCapacity {
    most: usize,
    share: FairShare,
    size: usize,
    all: Arc<AtomicUsize>,
    here: Arc<AtomicUsize>,
}

/// What is reserved for connections that have few.
#[derive(Debug, Clone, Copy)]
pub struct FairShare {
    /// How many places one connection may have, of all.
    pub floor: usize,
    /// How many are reserved for that.
    pub reserved: usize,
    /// Those that each connection has even beyond all of them: connections have a
    /// limit of their own.
    pub guaranteed: usize,
}

impl SharedCapacity {
    /// Makes so many places, each for `size` bytes. Of those that are not reserved a
    /// connection may take as many as it leaves free, so that one alone has half of
    /// them; of all, and beyond, it has its share.
    #[must_use]
    pub fn new(most: usize, share: FairShare, size: usize) -> Self {
        let size = size.max(1);
        Self { most, share, size, all: Arc::default(), here: Arc::default() }
    }

    /// Counts for another connection.
    #[must_use]
    pub fn on_connection(&self) -> Self {
        Self { here: Arc::default(), ..self.clone() }
    }

    /// Takes a place, if there is one.
    #[must_use]
    pub fn try_reserve(&self) -> Option<Reservation> {
        self.try_reserve_bytes(self.size)
    }

    /// Takes as many places as so many bytes need, if there are as many.
    #[must_use]
    pub fn try_reserve_bytes(&self, bytes: usize) -> Option<Reservation> {
        let count = self.of(bytes);
        let taken = AtomicUsize::new(count);
        self.take(count).then(|| Reservation { places: self.clone(), taken })
    }

    fn of(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.size).max(1)
    }

    /// Takes places, and tells whether there were as many.
    fn take(&self, count: usize) -> bool {
        // What is not allowed must not be counted, not even for a moment: others on
        // the connection would be refused for it.
        let here = self.here.fetch_update(Relaxed, Relaxed, |here| {
            let (here, all) = (here + count, self.all.load(Relaxed) + count);
            self.allows(here, all).then_some(here)
        });
        let Ok(before) = here else { return false };
        let took = self.all.fetch_update(Relaxed, Relaxed, |all| {
            self.allows(before + count, all + count).then_some(all + count)
        });
        if took.is_err() {
            self.here.fetch_sub(count, Relaxed);
        }
        took.is_ok()
    }

    fn allows(&self, here: usize, all: usize) -> bool {
        here <= self.share.guaranteed
            || here <= self.most.saturating_sub(self.share.reserved + all)
            || (all <= self.most && here <= self.share.floor)
    }

    fn release(&self, count: usize) {
        self.all.fetch_sub(count, Relaxed);
        self.here.fetch_sub(count, Relaxed);
    }
}

/// A place, or several, that are taken while this lives.
#[derive(Debug)]
pub struct Reservation {
    places: SharedCapacity,
    taken: AtomicUsize,
}

impl Reservation {
    /// Makes room for so many bytes in all, if there is not as much already. Tells
    /// whether there is.
    #[must_use]
    pub fn grow(&self, bytes: usize) -> bool {
        bytes <= self.taken.load(Relaxed) * self.places.size || self.resize(bytes)
    }

    /// Makes room for so many bytes in all, which may be fewer than before. Tells
    /// whether there was enough; if not, all is as before.
    #[must_use]
    pub fn resize(&self, bytes: usize) -> bool {
        let wanted = self.places.of(bytes);
        let taken = self.taken.load(Relaxed);
        if wanted > taken && !self.places.take(wanted - taken) {
            return false;
        }
        self.places.release(taken.saturating_sub(wanted));
        self.taken.store(wanted, Relaxed);
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.places.release(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{mem, thread};

    use super::*;

    const MOST: usize = 64;
    const SHARE: FairShare = FairShare { floor: 4, reserved: MOST / 2, guaranteed: 1 };
    const SIZE: usize = 4096;

    fn try_reserve(places: &SharedCapacity, count: usize) -> Vec<Reservation> {
        (0..count).filter_map(|_| places.try_reserve()).collect()
    }

    #[test]
    fn each_connection_leaves_as_many_places_as_it_takes() {
        let places = SharedCapacity::new(MOST, SHARE, SIZE);
        let mut taken = Vec::new();
        for most in [MOST / 4, MOST / 8, SHARE.floor, SHARE.floor] {
            let greedy = try_reserve(&places.on_connection(), 10 * MOST);
            assert_eq!(greedy.len(), most);
            taken.push(greedy);
        }
    }

    #[test]
    fn beyond_the_places_a_connection_has_one() {
        let places = SharedCapacity::new(MOST, SHARE, SIZE);
        let connections =
            (0..MOST).map(|_| try_reserve(&places.on_connection(), SHARE.floor));
        let taken: Vec<Vec<Reservation>> = connections.collect();
        let full = MOST / SHARE.floor;
        assert!(taken[..full].iter().all(|places| places.len() == SHARE.floor));
        assert!(taken[full..].iter().all(|places| places.len() == 1));
        let late = places.on_connection();
        assert_eq!(try_reserve(&late, SHARE.floor).len(), 1);
        drop(taken);
        assert_eq!(try_reserve(&late, SHARE.floor).len(), SHARE.floor);
    }

    #[test]
    fn there_are_no_more_places_than_all() {
        let share = FairShare { floor: 4, reserved: 0, guaranteed: 0 };
        for most in [1, 2, 7, MOST] {
            let places = SharedCapacity::new(most, share, SIZE);
            let connections =
                (0..2 * MOST).map(|_| try_reserve(&places.on_connection(), MOST));
            let taken: Vec<Vec<Reservation>> = connections.collect();
            assert_eq!(taken[0].len(), most.min(4).max(most / 2));
            assert_eq!(taken.iter().flatten().count(), most);
        }
    }

    #[test]
    fn connections_that_enter_at_once_take_no_more_than_all() {
        let share = FairShare { floor: 4, reserved: MOST / 2, guaranteed: 1 };
        for guaranteed in [0, 1] {
            let places =
                SharedCapacity::new(MOST, FairShare { guaranteed, ..share }, SIZE);
            let taken: usize = thread::scope(|scope| {
                let enter_all = || {
                    // A fill that others see half of must not be one more place.
                    let connections: Vec<SharedCapacity> =
                        (0..MOST).map(|_| places.on_connection()).collect();
                    (0..MOST)
                        .flat_map(|_| {
                            connections.iter().filter_map(SharedCapacity::try_reserve)
                        })
                        .map(mem::forget)
                        .count()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(enter_all)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            let beyond = guaranteed * 4 * MOST;
            assert!((MOST..=MOST + beyond).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn what_is_large_takes_the_places_of_many() {
        let places = SharedCapacity::new(MOST, SHARE, SIZE);
        let here = places.on_connection();
        let place = here.try_reserve().unwrap();
        let taken = || places.all.load(Relaxed);
        for (bytes, wanted) in [(SIZE, 1), (SIZE + 1, 2), (0, 1), (9 * SIZE, 9)] {
            assert!(place.resize(bytes));
            assert_eq!(taken(), wanted, "{bytes} bytes");
        }
        assert!(place.resize(MOST / 4 * SIZE));
        assert!(!place.resize(MOST / 4 * SIZE + 1));
        assert_eq!(taken(), MOST / 4, "as before");
        assert!(here.try_reserve().is_none());
        assert!(places.on_connection().try_reserve().is_some());
        assert!(place.grow(SIZE) && place.resize(SIZE) && place.grow(2 * SIZE));
        assert_eq!(taken(), 2);
        drop(place);
        assert_eq!(taken(), 0);
    }
}
