//! Requests whose last byte has not come yet.
//!
//! Honest ones come at once. Those that are held back each cost some KiB and
//! what they have sent so far, so there are places for so many, and one that is
//! large takes several. A connection that has many of them does not take the
//! places of the others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What one place is for: a stream and so many bytes of its request, which are
/// most requests as a whole.
const SIZE: usize = 4096;

/// How many places one connection has once half of them are taken.
const SHARE: usize = 4;

/// The places of requests that are arriving, on all connections and on one.
#[derive(Debug, Clone)]
pub(super) struct Arriving {
    places: usize,
    all: Arc<AtomicUsize>,
    here: Arc<AtomicUsize>,
}

impl Arriving {
    /// Makes so many places.
    pub(super) fn with(places: usize) -> Self {
        Self { places, all: Arc::default(), here: Arc::default() }
    }

    /// Counts for another connection.
    pub(super) fn on_connection(&self) -> Self {
        Self { here: Arc::default(), ..self.clone() }
    }

    /// Takes a place, if there is one. There always is for the first request of
    /// a connection: connections have a limit of their own.
    pub(super) fn enter(&self) -> Option<Place> {
        self.take().then(|| Place { arriving: self.clone(), taken: 1 })
    }

    fn take(&self) -> bool {
        let all = self.all.fetch_add(1, Relaxed);
        let here = self.here.fetch_add(1, Relaxed);
        let half = self.places / 2;
        let allowed = here == 0 || all < half || (all < self.places && here < SHARE);
        if !allowed {
            self.leave(1);
        }
        allowed
    }

    fn leave(&self, taken: usize) {
        self.all.fetch_sub(taken, Relaxed);
        self.here.fetch_sub(taken, Relaxed);
    }
}

/// A place, or several, that are taken while this lives.
#[derive(Debug)]
pub(super) struct Place {
    arriving: Arriving,
    taken: usize,
}

impl Place {
    /// Makes room for so many bytes in all. Tells whether there was enough.
    pub(super) fn make_room(&mut self, bytes: usize) -> bool {
        while self.taken * SIZE < bytes {
            if !self.arriving.take() {
                return false;
            }
            self.taken += 1;
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.arriving.leave(self.taken);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const PLACES: usize = 64;

    fn enter(arriving: &Arriving, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| arriving.enter()).collect()
    }

    #[test]
    fn a_connection_with_many_leaves_places_for_others() {
        let arriving = Arriving::with(PLACES);
        let greedy = enter(&arriving.on_connection(), 10 * PLACES);
        assert_eq!(greedy.len(), PLACES / 2);
        let modest = enter(&arriving.on_connection(), 10 * PLACES);
        assert_eq!(modest.len(), SHARE);
    }

    #[test]
    fn beyond_the_places_a_connection_has_one() {
        let arriving = Arriving::with(PLACES);
        let connections = (0..PLACES).map(|_| enter(&arriving.on_connection(), SHARE));
        let places: Vec<Vec<Place>> = connections.collect();
        let full = PLACES / SHARE;
        assert!(places[..full].iter().all(|places| places.len() == SHARE));
        assert!(places[full..].iter().all(|places| places.len() == 1));
        let late = arriving.on_connection();
        assert_eq!(enter(&late, SHARE).len(), 1);
        drop(places);
        assert_eq!(enter(&late, SHARE).len(), SHARE);
    }

    #[test]
    fn a_large_request_takes_the_places_of_many() {
        let arriving = Arriving::with(PLACES);
        let here = arriving.on_connection();
        let mut place = here.enter().unwrap();
        assert!(place.make_room(SIZE));
        assert_eq!(place.taken, 1);
        assert!(place.make_room(SIZE + 1));
        assert_eq!(place.taken, 2);
        assert!(place.make_room(PLACES / 2 * SIZE));
        assert!(!place.make_room(PLACES / 2 * SIZE + 1));
        assert!(here.enter().is_none());
        assert!(arriving.on_connection().enter().is_some());
        drop(place);
        assert_eq!(arriving.all.load(Relaxed), 0);
    }
}
