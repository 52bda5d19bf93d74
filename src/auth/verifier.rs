//! Looks up the owner of a key once and caches the result.
//!
//! This is an optimisation, not a dependency: if the look-up fails, the RPC continues
//! without an identity, because Polytomic checks the key itself.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::timeout;

use super::cache::{Cache, State};
use super::credentials::{self, Credentials};
use super::hash::CredentialHash;
use super::in_flight::InFlight;
use super::look_up::{LookUp, LookUpError, Verdict};
use super::stats::{Counters, Stats};
use super::{CredentialOwner, Error};

/// Maximum time for a look-up. While Polytomic's `/api/me` hangs, every RPC with a new
/// key waits this long.
pub(super) const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(1);

type Outcome = Result<Credentials, Error>;

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
        owner: CredentialOwner,
        look_up: impl LookUp,
    ) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            cache: Cache::new(Arc::clone(&counters)),
            in_flight: InFlight::new(),
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
        let counters = &self.counters;
        match self.cache.get(&hash).await {
            Some(State::Known(credentials)) => {
                counters.hits.add();
                return Ok(credentials);
            }
            Some(State::Rejected) => {
                counters.negative.add();
                return Err(self.rejection());
            }
            None => {}
        }
        if !self.verify {
            counters.misses.add();
            let credentials = self.unverified(hash, credentials::header(token));
            self.cache.insert(&credentials).await;
            return Ok(credentials);
        }
        let waiter = self.in_flight.join(hash, || {
            let verifier = Arc::clone(self);
            let authorization = credentials::header(token);
            async move { verifier.look_up(hash, authorization).await }
        });
        let Some(waiter) = waiter else {
            counters.look_ups_skipped.add();
            return Ok(self.unverified(hash, credentials::header(token)));
        };
        let counter = if waiter.is_shared { &counters.shared } else { &counters.misses };
        counter.add();
        waiter.outcome().await.unwrap_or(Err(Error::Internal))
    }

    /// Records that Polytomic responded to `credentials` with 401.
    pub(super) async fn reject(&self, credentials: &Credentials) {
        self.cache.reject(credentials).await;
    }

    /// Reports whether keys are looked up.
    pub(super) fn verifies(&self) -> bool {
        self.verify
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { entries: self.cache.len(), ..self.counters.snapshot() }
    }

    async fn look_up(&self, hash: CredentialHash, authorization: HeaderValue) -> Outcome {
        // Another look-up may have ended after the client read the cache and before this
        // one started.
        match self.cache.get(&hash).await {
            Some(State::Known(credentials)) => return Ok(credentials),
            Some(State::Rejected) => return Err(self.rejection()),
            None => {}
        }
        self.counters.look_ups.add();
        let response =
            timeout(LOOK_UP_TIMEOUT, self.look_up.identity(authorization.clone()));
        let response = response
            .await
            .unwrap_or_else(|_elapsed| Err(LookUpError::new("it took longer than 1 s")));
        match response {
            Ok(Verdict::Known(identity)) => {
                let credentials =
                    Credentials::new(authorization, hash, self.owner, Some(identity));
                self.cache.insert(&credentials).await;
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
