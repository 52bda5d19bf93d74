//! Single flight: many callers who need the same answer wait for one piece of work.
//! The work runs in a task of its own, so it outlives the caller that started it, and
//! if it panics everyone who waits is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument;

use super::key::Key;

/// The most pieces of work under way at a time. Callers can leave while their work
/// goes on, so nothing else bounds it.
const MAX_UNDER_WAY: usize = 1_024;

/// The work under way, by key.
#[derive(Debug)]
pub(super) struct Flights<T> {
    under_way: Mutex<HashMap<Key, watch::Receiver<Option<T>>>>,
}

/// A place among those who wait for one piece of work.
#[derive(Debug)]
pub(super) struct Seat<T> {
    landed: watch::Receiver<Option<T>>,
    /// Whether others had started the work before.
    pub(super) shared: bool,
}

/// Takes the work off the list when it ends, however it ends, and only then lets go of
/// the sender: a panic reaches those who wait as a closed channel.
struct Landing<T> {
    flights: Arc<Flights<T>>,
    key: Key,
    sender: watch::Sender<Option<T>>,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { under_way: Mutex::default() })
    }

    /// Joins the work for `key`, starting it if no one has. `None` when too much is
    /// under way already.
    pub(super) fn join<W>(
        self: &Arc<Self>,
        key: Key,
        work: impl FnOnce() -> W,
    ) -> Option<Seat<T>>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.lock();
        if let Some(landed) = under_way.get(&key) {
            return Some(Seat { landed: landed.clone(), shared: true });
        }
        if under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        let (sender, landed) = watch::channel(None);
        under_way.insert(key, landed.clone());
        drop(under_way);

        let landing = Landing { flights: Arc::clone(self), key, sender };
        let work = work();
        let work = async move {
            let outcome = work.await;
            landing.sender.send_replace(Some(outcome));
        };
        tokio::spawn(work.in_current_span());
        Some(Seat { landed, shared: false })
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<T>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Seat<T> {
    /// Waits for the outcome. `None` when the work panicked.
    pub(super) async fn landed(mut self) -> Option<T> {
        let outcome = self.landed.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::{pending, ready};

    use super::super::key::Hasher;
    use super::*;

    #[tokio::test]
    async fn work_beyond_the_limit_is_not_started() {
        let (flights, hasher) = (Flights::<u8>::new(), Hasher::new("", "", ""));
        for number in 0..MAX_UNDER_WAY {
            assert!(flights.join(hasher.key(&number.to_string()), pending).is_some());
        }
        assert!(flights.join(hasher.key("one more"), || ready(1)).is_none());
        let joined = flights.join(hasher.key("0"), || ready(1)).unwrap();
        assert!(joined.shared);
    }

    #[tokio::test]
    async fn work_leaves_the_list_when_it_ends_and_when_it_panics() {
        let (flights, hasher) = (Flights::<u8>::new(), Hasher::new("", "", ""));
        let key = hasher.key("key");
        assert_eq!(flights.join(key, || ready(1)).unwrap().landed().await, Some(1));
        let panics = flights.join(key, || async { panic!("on purpose") }).unwrap();
        assert_eq!(panics.landed().await, None);
        assert_eq!(flights.join(key, || ready(2)).unwrap().landed().await, Some(2));
    }
}
