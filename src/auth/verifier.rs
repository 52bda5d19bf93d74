//! Finds out about a key once and remembers it. This is an optimisation that must not
//! become a dependency: when Polytomic does not say who holds a key, the RPC goes on,
//! because Polytomic checks the key itself.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::timeout;

use super::cache::{Cache, State};
use super::credentials::{self, Credentials};
use super::flight::Flights;
use super::key::Key;
use super::look_up::{Oracle, Verdict};
use super::stats::{Counters, Stats};
use super::{CredentialOwner, Error, Settings};

type Outcome = Result<Credentials, Error>;

#[derive(Debug)]
pub(super) struct Verifier {
    cache: Cache,
    flights: Arc<Flights<Outcome>>,
    oracle: Oracle,
    holder: CredentialOwner,
    verify: bool,
    lookup_timeout: Duration,
    counters: Arc<Counters>,
}

impl Verifier {
    pub(super) fn new(
        settings: &Settings,
        holder: CredentialOwner,
        oracle: Oracle,
    ) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        Arc::new(Self {
            cache: Cache::new(settings, Arc::clone(&counters)),
            flights: Flights::new(),
            oracle,
            holder,
            verify: settings.verify,
            lookup_timeout: settings.lookup_timeout,
            counters,
        })
    }

    /// Returns credentials for `token`, whose key is `key`.
    pub(super) async fn resolve(self: &Arc<Self>, key: Key, token: &str) -> Outcome {
        let counters = &self.counters;
        match self.cache.get(&key).await {
            Some(State::Known(credentials)) => {
                counters.hits.add();
                return admit(credentials);
            }
            Some(State::Rejected) => {
                counters.negative.add();
                return Err(self.rejection());
            }
            None => {}
        }
        if !self.verify {
            counters.misses.add();
            let credentials = self.unverified(key, credentials::header(token));
            self.cache.keep(&credentials).await;
            return Ok(credentials);
        }
        let seat = self.flights.join(key, || {
            let verifier = Arc::clone(self);
            let authorization = credentials::header(token);
            async move { verifier.look_up(key, authorization).await }
        });
        let Some(seat) = seat else {
            counters.look_ups_skipped.add();
            return Ok(self.unverified(key, credentials::header(token)));
        };
        let asked = if seat.shared { &counters.shared } else { &counters.misses };
        asked.add();
        seat.landed().await.unwrap_or(Err(Error::Internal)).and_then(admit)
    }

    /// Takes note that Polytomic answered 401 to `credentials`.
    pub(super) async fn reject(&self, credentials: &Credentials) {
        self.cache.reject(credentials).await;
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { entries: self.cache.len(), ..self.counters.snapshot() }
    }

    async fn look_up(&self, key: Key, authorization: HeaderValue) -> Outcome {
        // Another look-up may have ended between the caller's look into the cache and
        // the start of this one.
        match self.cache.get(&key).await {
            Some(State::Known(credentials)) => return Ok(credentials),
            Some(State::Rejected) => return Err(self.rejection()),
            None => {}
        }
        self.counters.look_ups.add();
        let answer = self.oracle.ask(authorization.clone());
        let identity = match timeout(self.lookup_timeout, answer).await {
            Ok(Ok(Verdict::Known(identity))) => identity,
            Ok(Ok(Verdict::Unknown)) => {
                self.cache.refuse(key).await;
                return Err(self.rejection());
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %error.cause(), "going on without an identity");
                return Ok(self.failed_open(key, authorization));
            }
            Err(_elapsed) => {
                tracing::debug!(timeout = ?self.lookup_timeout, "going on without an identity");
                return Ok(self.failed_open(key, authorization));
            }
        };
        let credentials =
            Credentials::new(authorization, key, self.holder, Some(identity));
        self.cache.keep(&credentials).await;
        Ok(credentials)
    }

    fn failed_open(&self, key: Key, authorization: HeaderValue) -> Credentials {
        self.counters.look_ups_failed.add();
        self.unverified(key, authorization)
    }

    fn unverified(&self, key: Key, authorization: HeaderValue) -> Credentials {
        Credentials::new(authorization, key, self.holder, None)
    }

    fn rejection(&self) -> Error {
        Error::Rejected { holder: self.holder }
    }

    #[cfg(test)]
    pub(super) async fn settle(&self) {
        self.cache.settle().await;
    }
}

/// Refuses the credentials of which Polytomic is known to refuse the class.
fn admit(credentials: Credentials) -> Outcome {
    match credentials.identity() {
        Some(identity) if identity.is_refused() => {
            Err(Error::NotPartner { class: identity.class, holder: credentials.holder() })
        }
        _ => Ok(credentials),
    }
}
