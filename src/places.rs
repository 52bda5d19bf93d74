//! Places for what callers make the server hold, in memory.
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
pub struct Places {
    most: usize,
    share: Share,
    size: usize,
    all: Arc<AtomicUsize>,
    here: Arc<AtomicUsize>,
}

/// What is kept for connections that have few.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// How many places one connection may have, of all.
    pub each: usize,
    /// How many are kept for that.
    pub kept: usize,
    /// Those that each connection has even beyond all of them: connections have a
    /// limit of their own.
    pub always: usize,
}

impl Places {
    /// Makes so many places, each for `size` bytes. Of those that are not kept a
    /// connection may take as many as it leaves free, so that one alone has half of
    /// them; of all, and beyond, it has its share.
    #[must_use]
    pub fn new(most: usize, share: Share, size: usize) -> Self {
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
    pub fn enter(&self) -> Option<Place> {
        self.enter_for(self.size)
    }

    /// Takes as many places as so many bytes need, if there are as many.
    #[must_use]
    pub fn enter_for(&self, bytes: usize) -> Option<Place> {
        let count = self.of(bytes);
        let taken = AtomicUsize::new(count);
        self.take(count).then(|| Place { places: self.clone(), taken })
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
        here <= self.share.always
            || here <= self.most.saturating_sub(self.share.kept + all)
            || (all <= self.most && here <= self.share.each)
    }

    fn leave(&self, count: usize) {
        self.all.fetch_sub(count, Relaxed);
        self.here.fetch_sub(count, Relaxed);
    }
}

/// A place, or several, that are taken while this lives.
#[derive(Debug)]
pub struct Place {
    places: Places,
    taken: AtomicUsize,
}

impl Place {
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
        self.places.leave(taken.saturating_sub(wanted));
        self.taken.store(wanted, Relaxed);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{mem, thread};

    use super::*;

    const MOST: usize = 64;
    const SHARE: Share = Share { each: 4, kept: MOST / 2, always: 1 };
    const SIZE: usize = 4096;

    fn enter(places: &Places, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| places.enter()).collect()
    }

    #[test]
    fn each_connection_leaves_as_many_places_as_it_takes() {
        let places = Places::new(MOST, SHARE, SIZE);
        let mut taken = Vec::new();
        for most in [MOST / 4, MOST / 8, SHARE.each, SHARE.each] {
            let greedy = enter(&places.on_connection(), 10 * MOST);
            assert_eq!(greedy.len(), most);
            taken.push(greedy);
        }
    }

    #[test]
    fn beyond_the_places_a_connection_has_one() {
        let places = Places::new(MOST, SHARE, SIZE);
        let connections = (0..MOST).map(|_| enter(&places.on_connection(), SHARE.each));
        let taken: Vec<Vec<Place>> = connections.collect();
        let full = MOST / SHARE.each;
        assert!(taken[..full].iter().all(|places| places.len() == SHARE.each));
        assert!(taken[full..].iter().all(|places| places.len() == 1));
        let late = places.on_connection();
        assert_eq!(enter(&late, SHARE.each).len(), 1);
        drop(taken);
        assert_eq!(enter(&late, SHARE.each).len(), SHARE.each);
    }

    #[test]
    fn there_are_no_more_places_than_all() {
        let share = Share { each: 4, kept: 0, always: 0 };
        for most in [1, 2, 7, MOST] {
            let places = Places::new(most, share, SIZE);
            let connections = (0..2 * MOST).map(|_| enter(&places.on_connection(), MOST));
            let taken: Vec<Vec<Place>> = connections.collect();
            assert_eq!(taken[0].len(), most.min(4).max(most / 2));
            assert_eq!(taken.iter().flatten().count(), most);
        }
    }

    #[test]
    fn connections_that_enter_at_once_take_no_more_than_all() {
        let share = Share { each: 4, kept: MOST / 2, always: 1 };
        for always in [0, 1] {
            let places = Places::new(MOST, Share { always, ..share }, SIZE);
            let taken: usize = thread::scope(|scope| {
                let enter_all = || {
                    // A fill that others see half of must not be one more place.
                    let connections: Vec<Places> =
                        (0..MOST).map(|_| places.on_connection()).collect();
                    (0..MOST)
                        .flat_map(|_| connections.iter().filter_map(Places::enter))
                        .map(mem::forget)
                        .count()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(enter_all)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            let beyond = always * 4 * MOST;
            assert!((MOST..=MOST + beyond).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn what_is_large_takes_the_places_of_many() {
        let places = Places::new(MOST, SHARE, SIZE);
        let here = places.on_connection();
        let place = here.enter().unwrap();
        let taken = || places.all.load(Relaxed);
        for (bytes, wanted) in [(SIZE, 1), (SIZE + 1, 2), (0, 1), (9 * SIZE, 9)] {
            assert!(place.resize(bytes));
            assert_eq!(taken(), wanted, "{bytes} bytes");
        }
        assert!(place.resize(MOST / 4 * SIZE));
        assert!(!place.resize(MOST / 4 * SIZE + 1));
        assert_eq!(taken(), MOST / 4, "as before");
        assert!(here.enter().is_none());
        assert!(places.on_connection().enter().is_some());
        assert!(place.grow(SIZE) && place.resize(SIZE) && place.grow(2 * SIZE));
        assert_eq!(taken(), 2);
        drop(place);
        assert_eq!(taken(), 0);
    }
}
