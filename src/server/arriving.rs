//! Requests whose last byte has not come yet.
//!
//! Honest ones come at once. Those that are held back each cost some KiB, so
//! their number is bounded, and a connection that has many of them does not
//! take the places of the others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// How many there may be on all connections: about 10 MiB.
const PLACES: usize = 1024;

/// How many there may be on one connection once half of the places are taken.
const SHARE: usize = 4;

/// The requests that are arriving, on all connections and on one.
#[derive(Debug, Clone, Default)]
pub(super) struct Arriving {
    all: Arc<AtomicUsize>,
    here: Arc<AtomicUsize>,
}

impl Arriving {
    /// Counts for another connection.
    pub(super) fn on_connection(&self) -> Self {
        Self { all: Arc::clone(&self.all), here: Arc::default() }
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(&self) -> Option<Place> {
        let all = self.all.fetch_add(1, Relaxed);
        let here = self.here.fetch_add(1, Relaxed);
        let place = Place(self.clone());
        let allowed = all < PLACES / 2 || (all < PLACES && here < SHARE);
        allowed.then_some(place)
    }
}

/// A place that is taken while this lives.
#[derive(Debug)]
pub(super) struct Place(Arriving);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Relaxed);
        self.0.here.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(arriving: &Arriving, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| arriving.enter()).collect()
    }

    #[test]
    fn a_connection_with_many_leaves_places_for_others() {
        let arriving = Arriving::default();
        let greedy = enter(&arriving.on_connection(), 10 * PLACES);
        assert_eq!(greedy.len(), PLACES / 2);
        let modest = enter(&arriving.on_connection(), 10 * PLACES);
        assert_eq!(modest.len(), SHARE);
    }

    #[test]
    fn there_are_never_more_than_the_places() {
        let arriving = Arriving::default();
        let connections = (0..PLACES).map(|_| enter(&arriving.on_connection(), SHARE));
        let places: Vec<Vec<Place>> = connections.collect();
        assert_eq!(places.iter().map(Vec::len).sum::<usize>(), PLACES);
        drop(places);
        assert!(arriving.enter().is_some());
    }
}
