//! Work in flight: clients that need the same result wait for one piece of work.
//!
//! moka's `try_get_with` does not replace this module: it runs the work in the first
//! waiter, so a cancelled one starts the work again, and with a task per waiter each
//! cancelled RPC would leave a task behind (measured: 9,999 tasks after 10,000 RPCs;
//! here 1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument;

use super::hash::CredentialHash;
use super::rate::TokenBucket;
use super::settings::Rate;

/// Maximum pieces of work in flight. Clients can leave while their work continues, so
/// the limit on RPCs does not bound it.
const MAX_IN_FLIGHT: usize = 1_024;

/// The work in flight, by credential.
#[derive(Debug)]
pub(super) struct InFlight<T>(Mutex<Work<T>>);

#[derive(Debug)]
struct Work<T> {
    outcomes: HashMap<CredentialHash, watch::Receiver<Option<T>>>,
    new: TokenBucket,
    confirmed: TokenBucket,
}

/// Which rate a piece of work is counted against. Anyone can make up new credentials,
/// so these must not take the rate of those that Polytomic has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    Confirmed,
}

/// Waits for one piece of work.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    outcome: watch::Receiver<Option<T>>,
    /// Whether another client started the work.
    pub(super) is_shared: bool,
}

/// Removes the work from the map when it ends or panics. The sender is dropped only
/// after that, so a waiter that sees the channel closed can start new work.
struct RemoveOnDrop<T> {
    in_flight: Arc<InFlight<T>>,
    hash: CredentialHash,
    sender: watch::Sender<Option<T>>,
}

impl<T: Clone + Send + Sync + 'static> InFlight<T> {
    /// Starts no more work than `rate` allows, for each [`Standing`].
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        let [new, confirmed] = [(); 2].map(|()| TokenBucket::new(rate));
        Arc::new(Self(Mutex::new(Work { outcomes: HashMap::new(), new, confirmed })))
    }

    /// Joins the work for a credential, or starts it in a new task, which outlives its
    /// waiters. Returns `None` if the rate or [`MAX_IN_FLIGHT`] is reached.
    pub(super) fn join<W>(
        self: &Arc<Self>,
        hash: CredentialHash,
        standing: Standing,
        start: impl FnOnce() -> W,
    ) -> Option<Waiter<T>>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut work = self.lock();
        if let Some(outcome) = work.outcomes.get(&hash) {
            return Some(Waiter { outcome: outcome.clone(), is_shared: true });
        }
        let is_full = work.outcomes.len() >= MAX_IN_FLIGHT;
        let starts = match standing {
            Standing::New => &mut work.new,
            Standing::Confirmed => &mut work.confirmed,
        };
        if is_full || !starts.try_take() {
            return None;
        }
        let (sender, outcome) = watch::channel(None);
        work.outcomes.insert(hash, outcome.clone());
        drop(work);

        let entry = RemoveOnDrop { in_flight: Arc::clone(self), hash, sender };
        let work = start();
        let work = async move {
            let outcome = work.await;
            entry.sender.send_replace(Some(outcome));
        };
        tokio::spawn(work.in_current_span());
        Some(Waiter { outcome, is_shared: false })
    }
}

impl<T> InFlight<T> {
    fn lock(&self) -> MutexGuard<'_, Work<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Waiter<T> {
    /// Returns the outcome of the work, or `None` if it panicked.
    pub(super) async fn outcome(mut self) -> Option<T> {
        let outcome = self.outcome.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }
}

impl<T> Drop for RemoveOnDrop<T> {
    fn drop(&mut self) {
        self.in_flight.lock().outcomes.remove(&self.hash);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::{pending, ready};

    use super::super::hash::Hasher;
    use super::Standing::{Confirmed, New};
    use super::*;

    const UNLIMITED: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };

    #[tokio::test]
    async fn work_over_the_limit_is_not_started() {
        let (in_flight, hasher) =
            (InFlight::<u8>::new(UNLIMITED), Hasher::new("", "", ""));
        for number in 0..MAX_IN_FLIGHT {
            assert!(
                in_flight.join(hasher.hash(&number.to_string()), New, pending).is_some()
            );
        }
        assert!(in_flight.join(hasher.hash("one more"), New, || ready(1)).is_none());
        let joined = in_flight.join(hasher.hash("0"), New, || ready(1)).unwrap();
        assert!(joined.is_shared);
    }

    #[tokio::test(start_paused = true)]
    async fn work_over_the_rate_is_not_started_but_can_be_joined() {
        let in_flight = InFlight::<u8>::new(Rate { per_second: 1, burst: 1 });
        let hasher = Hasher::new("", "", "");
        assert!(in_flight.join(hasher.hash("one"), New, pending).is_some());
        assert!(in_flight.join(hasher.hash("two"), New, pending).is_none());
        assert!(in_flight.join(hasher.hash("one"), New, pending).unwrap().is_shared);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(in_flight.join(hasher.hash("two"), New, pending).is_some());
    }

    #[tokio::test]
    async fn new_credentials_do_not_take_the_rate_of_confirmed_ones() {
        let in_flight = InFlight::<u8>::new(Rate { per_second: 1, burst: 1 });
        let hasher = Hasher::new("", "", "");
        assert!(in_flight.join(hasher.hash("one"), New, pending).is_some());
        assert!(in_flight.join(hasher.hash("two"), New, pending).is_none());
        assert!(in_flight.join(hasher.hash("three"), Confirmed, pending).is_some());
    }

    #[tokio::test]
    async fn work_is_removed_when_it_ends_and_when_it_panics() {
        let (in_flight, hasher) =
            (InFlight::<u8>::new(UNLIMITED), Hasher::new("", "", ""));
        let hash = hasher.hash("key");
        assert_eq!(
            in_flight.join(hash, New, || ready(1)).unwrap().outcome().await,
            Some(1)
        );
        let panics =
            in_flight.join(hash, New, || async { panic!("on purpose") }).unwrap();
        assert_eq!(panics.outcome().await, None);
        assert_eq!(
            in_flight.join(hash, New, || ready(2)).unwrap().outcome().await,
            Some(2)
        );
    }

    /// moka's single flight would leave one task per cancelled waiter.
    #[tokio::test]
    async fn cancelled_waiters_leave_one_task() {
        let (in_flight, hasher) =
            (InFlight::<u8>::new(UNLIMITED), Hasher::new("", "", ""));
        for _ in 0..1_000 {
            drop(in_flight.join(hasher.hash("key"), New, pending).unwrap());
        }
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 1);
    }
}
