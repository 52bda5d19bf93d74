//! How many retries a key has.
//!
//! The RPCs of a key pay for a share of retries. Beyond that, all keys share a number of
//! retries as [`FairShare`] says, so that no key can use it up, and Polytomic gets few
//! more requests while it fails for many keys. Waiting for a create in progress needs
//! no such limit, because Polytomic works: each key has waits of its own.
//!
//! All numbers fall by the same share with time, so that the parts add up to the whole.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::budget::{FairShare, KeyId};

/// The share of retries among the RPCs of a key.
const SHARE: f64 = 0.2;

/// How long it takes until what was counted is a third of it.
pub(super) const SPAN: Duration = Duration::from_secs(10);

/// Retries of a key beyond its share, in one [`SPAN`]: 3 per second. As many waits for a
/// create in progress.
pub(super) const BEYOND: f64 = 30.0;

/// Retries of all keys beyond their shares, in one [`SPAN`]: 10 per second.
const ALL_BEYOND: FairShare =
    FairShare { total: 100, reserved: 20, floor: 2, guaranteed: 0 };

/// Maximum number of keys with a budget: about 1 MiB. Further ones share one.
const MAX_KEYS: usize = 10_000;

/// How long a key without RPCs is remembered. By then hardly anything is left to forget.
const IDLE: Duration = Duration::from_secs(60);

/// What a retry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To end better than an attempt that failed.
    Failed,
    /// To wait for another attempt with the same idempotency key.
    InProgress,
}

/// The budgets of all keys.
#[derive(Debug)]
pub(super) struct Budgets(Mutex<State>);

#[derive(Debug)]
struct State {
    keys: HashMap<KeyId, Budget>,
    /// That of the keys which Polytomic has not confirmed, and of those without room.
    others: Budget,
    /// The retries of all keys beyond their shares.
    beyond: Count,
    next_sweep: Instant,
}

/// The budget of one key.
#[derive(Debug)]
struct Budget {
    /// The retries that its RPCs have paid for.
    paid: Count,
    beyond: Count,
    waits: Count,
}

/// A number that falls with time.
#[derive(Debug, Clone, Copy)]
struct Count {
    number: f64,
    at: Instant,
}

impl Budgets {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            keys: HashMap::new(),
            others: Budget::new(now),
            beyond: Count::new(now),
            next_sweep: now + IDLE,
        }))
    }

    /// Counts an RPC with a key, or with any that Polytomic has not confirmed.
    pub(super) fn deposit(&self, key: Option<KeyId>) {
        let now = Instant::now();
        self.state().budget(key, now).0.paid.add(SHARE, now);
    }

    /// Takes a retry. Reports whether there was one left.
    pub(super) fn withdraw(&self, key: Option<KeyId>, purpose: Purpose) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let (budget, all_beyond) = state.budget(key, now);
        if budget.paid.take(now) {
            return true;
        }
        match purpose {
            Purpose::InProgress => budget.waits.add_within(BEYOND, now),
            Purpose::Failed => {
                let others = all_beyond.now(now) - budget.beyond.now(now);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is a small number, and at least 0"
                )]
                let others = others.max(0.0).ceil() as usize;
                let most = f64::from(
                    u32::try_from(ALL_BEYOND.limit(others)).unwrap_or(u32::MAX),
                );
                let may = budget.beyond.add_within(most.min(BEYOND), now);
                if may {
                    all_beyond.add(1.0, now);
                }
                may
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the budget of a key, and what all have in common.
    fn budget(&mut self, key: Option<KeyId>, now: Instant) -> (&mut Budget, &mut Count) {
        let Self { keys, others, beyond, next_sweep } = self;
        let Some(key) = key else { return (others, beyond) };
        if !keys.contains_key(&key) {
            if now >= *next_sweep {
                *next_sweep = now + IDLE;
                keys.retain(|_, budget| now - budget.paid.at < IDLE);
            }
            if keys.len() >= MAX_KEYS {
                return (others, beyond);
            }
        }
        (keys.entry(key).or_insert_with(|| Budget::new(now)), beyond)
    }
}

impl Budget {
    fn new(now: Instant) -> Self {
        let none = Count::new(now);
        Self { paid: none, beyond: none, waits: none }
    }
}

impl Count {
    fn new(now: Instant) -> Self {
        Self { number: 0.0, at: now }
    }

    /// Returns what is left by now.
    fn now(&mut self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        if !since.is_zero() {
            self.number *= (-since.as_secs_f64() / SPAN.as_secs_f64()).exp();
            self.at = now;
        }
        self.number
    }

    fn add(&mut self, more: f64, now: Instant) {
        self.number = self.now(now) + more;
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let has_one = self.now(now) >= 1.0 - ROUNDING;
        if has_one {
            self.number -= 1.0;
        }
        has_one
    }

    /// Adds one, if the number then is at most `most`.
    fn add_within(&mut self, most: f64, now: Instant) -> bool {
        let has_room = self.now(now) + 1.0 <= most + ROUNDING;
        if has_room {
            self.number += 1.0;
        }
        has_room
    }
}

/// Five fifths are one, though their sum is rounded.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::{Purpose::*, *};

    #[expect(clippy::unnecessary_wraps, reason = "budgets are asked so")]
    fn key(id: u64) -> Option<KeyId> {
        Some(KeyId(id))
    }

    /// Returns how many retries the key gets at once.
    fn drain(budgets: &Budgets, key: Option<KeyId>, purpose: Purpose) -> usize {
        (0..100_000).take_while(|_| budgets.withdraw(key, purpose)).count()
    }

    fn rpcs(budgets: &Budgets, key: Option<KeyId>, number: usize) {
        (0..number).for_each(|_| budgets.deposit(key));
    }

    #[tokio::test(start_paused = true)]
    async fn rpcs_of_a_key_pay_for_its_retries_only() {
        let budgets = Budgets::new();
        rpcs(&budgets, key(1), 1000);
        assert_eq!(drain(&budgets, key(1), Failed), 200 + 30);
        rpcs(&budgets, key(1), 1000);
        assert_eq!(drain(&budgets, key(1), InProgress), 200 + 30);
        let beyond: Vec<_> =
            (2..60).map(|other| drain(&budgets, key(other), Failed)).collect();
        assert_eq!(beyond[..5], [25, 12, 6, 3, 2]);
        assert_eq!(beyond.iter().sum::<usize>(), 100 - 30);
        for other in 2..60 {
            assert_eq!(drain(&budgets, key(other), InProgress), 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_never_stop_leave_retries_to_a_newcomer() {
        let budgets = Budgets::new();
        for second in 0..60 {
            for greedy in 0..10 {
                drain(&budgets, key(greedy), Failed);
                drain(&budgets, None, Failed);
            }
            let newcomer = drain(&budgets, key(100 + second), Failed);
            assert!(newcomer >= 2, "{newcomer} after {second} s");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_come_back_with_time() {
        let budgets = Budgets::new();
        rpcs(&budgets, key(1), 100);
        let first = drain(&budgets, key(1), Failed);
        assert_eq!(first, 20 + 30);
        let mut later = 0;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            later += drain(&budgets, key(1), Failed);
        }
        assert!((200..=300).contains(&later), "{later} in 100 s, not 3 per second");
        rpcs(&budgets, key(1), 100);
        tokio::time::advance(20 * SPAN).await;
        assert_eq!(drain(&budgets, key(1), Failed), 30, "what was paid is not hoarded");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_made_up_take_no_budget_of_a_confirmed_one() {
        let budgets = Budgets::new();
        rpcs(&budgets, key(1), 1000);
        rpcs(&budgets, None, 1_000_000);
        assert_eq!(drain(&budgets, None, InProgress), 100_000);
        assert_eq!(drain(&budgets, key(1), Failed), 200 + 30);
        assert_eq!(budgets.state().keys.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_budgets_is_bounded_and_idle_keys_are_forgotten() {
        let budgets = Budgets::new();
        for id in 0..2 * MAX_KEYS as u64 {
            budgets.deposit(key(id));
        }
        assert_eq!(budgets.state().keys.len(), MAX_KEYS);
        rpcs(&budgets, key(0), 999);
        assert_eq!(drain(&budgets, key(0), Failed), 200 + 30, "it is not evicted");
        tokio::time::advance(IDLE).await;
        budgets.deposit(key(2 * MAX_KEYS as u64));
        assert_eq!(budgets.state().keys.len(), 1);
    }
}
