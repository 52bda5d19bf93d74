//! Looks up the owner of a key and caches the result.
//!
//! This is an optimisation, not a dependency: if the look-up fails, the RPC continues
//! without an identity, because Polytomic checks the key itself. That the look-up had
//! no answer is remembered too: a Polytomic that does not answer is not asked by every
//! RPC. An identity once stated is refreshed in the background, and holds until Polytomic
//! says otherwise: who is counted, and whose class is checked, must not depend on it
//! answering now.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::{Instant, timeout};

use super::cache::{Cache, State};
use super::credentials::{self, Credentials};
use super::hash::CredentialHash;
use super::in_flight::{InFlight, Standing, Waiter};
use super::look_up::{LookUp, LookUpError, Verdict};
use super::settings::Rate;
use super::stats::{Counters, Stats};
use super::{CredentialOwner, Error};

/// Maximum time for a look-up. While Polytomic's `/api/me` hangs, the first RPC with a
/// key waits this long.
pub const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Least time between a look-up without an answer and the next one for the key.
pub(super) const NO_ANSWER_TTL: Duration = Duration::from_secs(2);

/// Maximum time that is added at random, so that the look-ups of many keys spread.
pub(super) const NO_ANSWER_JITTER: Duration = Duration::from_secs(8);

/// Time for which Polytomic's word that it knows a key outweighs its 401 to an RPC. Such
/// a 401 has another reason, and may come again.
pub(super) const CONFIRMED_TTL: Duration = Duration::from_secs(5);

type Outcome = Result<Credentials, Error>;

/// Why a key is looked up.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// An RPC needs its owner.
    Rpc,
    /// Polytomic responded with 401 to credentials with this generation.
    Unauthorized(u64),
}

#[derive(Debug)]
pub(super) struct Verifier {
    cache: Cache,
    in_flight: Arc<InFlight<Outcome>>,
    look_up: Box<dyn LookUp>,
    owner: CredentialOwner,
    verify: bool,
    counters: Arc<Counters>,
}

impl Verifier {
    pub(super) fn new(
        verify: bool,
        rate: Rate,
        owner: CredentialOwner,
        look_up: impl LookUp,
    ) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            cache: Cache::new(Arc::clone(&counters)),
            in_flight: InFlight::new(rate),
            look_up: Box::new(look_up),
            owner,
            verify,
            counters,
        })
    }

    /// Returns credentials for `token`, whose hash is `hash`.
    pub(super) async fn resolve(
        self: &Arc<Self>,
        hash: CredentialHash,
        token: &str,
    ) -> Outcome {
        if !self.verify {
            // Nothing to remember, and anyone can make up keys.
            return Ok(self.unverified(hash, credentials::header(token)));
        }
        let counters = &self.counters;
        // Where one is due, a look-up starts for which no RPC waits.
        match self.cache.get(&hash).await {
            Some(State::Known { credentials, due, .. }) => {
                counters.hits.add();
                if due <= Instant::now() {
                    let authorization = credentials.authorization();
                    self.start(hash, authorization, Cause::Rpc, Standing::Confirmed);
                }
                return Ok(credentials);
            }
            Some(State::Unanswered { due }) => {
                counters.hits.add();
                let authorization = credentials::header(token);
                if due <= Instant::now() {
                    self.start(hash, authorization.clone(), Cause::Rpc, Standing::New);
                }
                return Ok(self.unverified(hash, authorization));
            }
            Some(State::Rejected) => {
                counters.negative.add();
                return Err(self.rejection());
            }
            None => {}
        }
        let authorization = credentials::header(token);
        let waiter = self.start(hash, authorization.clone(), Cause::Rpc, Standing::New);
        let Some(waiter) = waiter else {
            counters.look_ups_skipped.add();
            return Ok(self.unverified(hash, authorization));
        };
        let counter = if waiter.is_shared { &counters.shared } else { &counters.misses };
        counter.add();
        waiter.outcome().await.unwrap_or(Err(Error::Internal))
    }

    /// Finds out whether a 401 to an RPC means that Polytomic does not know its key, and
    /// waits for the result.
    ///
    /// The 401 may have another reason. Only if the look-up gets one too, the key is
    /// rejected for a while. Without look-ups no key is.
    pub(super) async fn check(self: &Arc<Self>, credentials: &Credentials) {
        if !self.verify {
            return;
        }
        let (hash, authorization) = (credentials.hash(), credentials.authorization());
        let cause = Cause::Unauthorized(credentials.generation());
        let held = self.cache.get(&hash).await;
        let standing = match &held {
            Some(State::Known { .. }) => Standing::Confirmed,
            _ => Standing::New,
        };
        if held.is_some_and(|state| state.is_settled(cause)) {
            return;
        }
        if let Some(waiter) = self.start(hash, authorization, cause, standing) {
            waiter.outcome().await;
        }
    }

    /// Looks up the owner of a key, past the cache and without a limit of its own.
    pub(super) async fn ask(&self, token: &str) -> Result<Verdict, LookUpError> {
        self.look_up.identity(credentials::header(token)).await
    }

    /// Reports whether keys are looked up.
    pub(super) fn verifies(&self) -> bool {
        self.verify
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { entries: self.cache.len(), ..self.counters.snapshot() }
    }

    /// Starts a look-up, or joins the one in flight. Returns `None` at the limit.
    fn start(
        self: &Arc<Self>,
        hash: CredentialHash,
        authorization: HeaderValue,
        cause: Cause,
        standing: Standing,
    ) -> Option<Waiter<Outcome>> {
        self.in_flight.join(hash, standing, || {
            let verifier = Arc::clone(self);
            async move { verifier.look_up(hash, authorization, cause).await }
        })
    }

    async fn look_up(
        &self,
        hash: CredentialHash,
        authorization: HeaderValue,
        cause: Cause,
    ) -> Outcome {
        // Another look-up may have ended after the client read the cache and before this
        // one started.
        let held = self.cache.get(&hash).await;
        match held.filter(|state| state.is_settled(cause)) {
            Some(State::Known { credentials, .. }) => return Ok(credentials),
            Some(State::Unanswered { .. }) => {
                return Ok(self.unverified(hash, authorization));
            }
            Some(State::Rejected) => return Err(self.rejection()),
            None => {}
        }
        self.counters.look_ups.add();
        let response =
            timeout(LOOK_UP_TIMEOUT, self.look_up.identity(authorization.clone()));
        let response = response
            .await
            .unwrap_or_else(|_elapsed| Err(LookUpError::new("it took longer than 1 s")));
        let now = Instant::now();
        match response {
            Ok(Verdict::Known(identity)) => {
                let credentials =
                    Credentials::new(authorization, hash, self.owner, Some(identity));
                let settled_until = match cause {
                    Cause::Rpc => now,
                    Cause::Unauthorized(_) => now + CONFIRMED_TTL,
                };
                self.cache.insert(&credentials, settled_until).await;
                Ok(credentials)
            }
            Ok(Verdict::Unknown) => {
                self.cache.insert_rejected(hash).await;
                Err(self.rejection())
            }
            Err(error) => {
                tracing::debug!(
                    error = %error.cause(),
                    "key look-up failed; continuing without an identity"
                );
                self.counters.look_ups_failed.add();
                let due = now + NO_ANSWER_TTL + NO_ANSWER_JITTER.mul_f64(fastrand::f64());
                self.cache.insert_unanswered(hash, due).await;
                Ok(self.unverified(hash, authorization))
            }
        }
    }

    fn unverified(
        &self,
        hash: CredentialHash,
        authorization: HeaderValue,
    ) -> Credentials {
        Credentials::new(authorization, hash, self.owner, None)
    }

    fn rejection(&self) -> Error {
        Error::Rejected { owner: self.owner }
    }

    #[cfg(test)]
    pub(super) async fn run_pending_tasks(&self) {
        self.cache.run_pending_tasks().await;
    }
}

impl State {
    /// Reports whether the answer to a look-up is known already.
    fn is_settled(&self, cause: Cause) -> bool {
        let now = Instant::now();
        match (self, cause) {
            (Self::Rejected, _) => true,
            (Self::Unanswered { due } | Self::Known { due, .. }, Cause::Rpc)
            | (Self::Unanswered { due }, Cause::Unauthorized(_)) => now < *due,
            (
                Self::Known { credentials, settled_until, .. },
                // The key has been verified since, or just now.
                Cause::Unauthorized(generation),
            ) => generation != credentials.generation() || now < *settled_until,
        }
    }
}
