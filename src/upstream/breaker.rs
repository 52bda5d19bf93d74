//! The circuit breaker: stops requests that would only fail.
//!
//! A request that fails anyway costs its client a timeout, and hinders Polytomic's
//! recovery. But one client's failures say nothing about the requests of others. So
//! each [`Holder`] has a circuit, and one more is for all: it opens only while no
//! request gets a response and several holders fail, or while there are no connections.

mod holder;
mod own;
mod row;
mod shared;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::time::Instant;

pub use self::holder::Holder;
use self::{
    own::{OwnCircuit, Probe},
    row::PROBE_INTERVAL,
    shared::SharedCircuit,
};
use super::{Circuit, Error, client::Client};

/// Maximum number of holders whose failures are counted: about 3 MiB. The failures of
/// further holders open no circuit of theirs.
const MAX_HOLDERS: u64 = 10_000;

/// How long a holder without requests is remembered: longer than its circuit is open.
const IDLE: Duration = Duration::from_secs(60);

/// A circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    hasher: RandomState,
    /// Only holders with failures have an entry, so working ones cost no memory.
    holders: Cache<u64, Arc<Mutex<OwnCircuit>>>,
    all: Mutex<SharedCircuit>,
}

/// What an exchange shows about Polytomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Polytomic responds.
    Responds,
    /// It was unable to respond to this request.
    Fails,
    /// There was no connection, which is not the holder's fault.
    Unreachable,
}

/// Permission to send one request. Dropped without a result, for example because the
/// client went away, it counts for nothing.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    holder: Holder,
    id: u64,
    /// The circuit of the holder, if it had failures when the request was admitted.
    own: Option<Arc<Mutex<OwnCircuit>>>,
    probe: Option<Probe>,
}

impl Breaker {
    /// Makes a breaker whose circuits are closed.
    pub(super) fn new() -> Self {
        let holders =
            Cache::builder().max_capacity(MAX_HOLDERS).time_to_idle(IDLE).build();
        Self {
            hasher: RandomState::new(),
            holders,
            all: Mutex::new(SharedCircuit::new(Instant::now())),
        }
    }

    /// Reports whether requests are sent, as far as no holder matters.
    pub(super) fn is_closed_for_all(&self) -> bool {
        !lock(&self.all).is_open()
    }

    /// Returns permission to send a request for a holder.
    ///
    /// # Errors
    ///
    /// [`Error::CircuitOpen`], while the circuit of the holder or that of all is open.
    pub(super) fn admit(self: &Arc<Self>, holder: Holder) -> Result<Permit, Error> {
        let now = Instant::now();
        let id = self.hasher.hash_one(&holder);
        let own = self.holders.get(&id);
        let (mut probe, mut rested_at) = (None, now);
        if let Some(own) = &own {
            let mut own = lock(own);
            let admitted = own.admit(now);
            probe = admitted.map_err(|wait| open(holder.circuit(), wait))?;
            rested_at = own.rested_at();
        }
        let is_probe = lock(&self.all)
            .admit(holder.counts, rested_at, now)
            .map_err(|wait| open(Circuit::All, wait))?;
        if is_probe {
            lock(&self.entry(id)).rest(now);
        }
        Ok(Permit { breaker: Arc::clone(self), holder, id, own, probe })
    }

    fn entry(&self, id: u64) -> Arc<Mutex<OwnCircuit>> {
        self.holders
            .get_with(id, || Arc::new(Mutex::new(OwnCircuit::new(Instant::now()))))
    }
}

impl Permit {
    /// Returns whose request it is for the connections.
    pub(super) fn client(&self) -> Client {
        if self.holder.path.is_some() {
            Client::Gateway
        } else if self.holder.counts {
            Client::Key(self.id)
        } else {
            Client::Unconfirmed
        }
    }

    /// Records what the exchange shows.
    pub(super) fn record(self, evidence: Evidence) {
        let now = Instant::now();
        match evidence {
            Evidence::Responds => {
                // The first failure may be younger than the request.
                let own = self.own.clone().or_else(|| self.breaker.holders.get(&self.id));
                if own.is_some_and(|own| lock(&own).succeed(self.probe.as_ref(), now)) {
                    self.log_closed(self.holder.circuit());
                }
                if lock(&self.breaker.all).succeed(now) {
                    // They opened in the same outage.
                    self.breaker.holders.invalidate_all();
                    self.log_closed(Circuit::All);
                }
            }
            Evidence::Fails => {
                let own = self.breaker.entry(self.id);
                let open_for = lock(&own).fail(self.probe.as_ref(), now);
                if let Some(open_for) = open_for {
                    self.log_opened(self.holder.circuit(), open_for);
                }
                let voter = self.holder.counts.then_some(self.id);
                if lock(&self.breaker.all).fail(voter, now) {
                    self.log_opened(Circuit::All, PROBE_INTERVAL);
                }
            }
            Evidence::Unreachable => {
                // No fault of the holder, which may probe for all again.
                if let Some(own) = self.breaker.holders.get(&self.id) {
                    lock(&own).wake(now);
                }
                if lock(&self.breaker.all).fail_to_connect(now) {
                    self.log_opened(Circuit::All, PROBE_INTERVAL);
                }
            }
        }
    }

    fn log_opened(&self, circuit: Circuit, open_for: Duration) {
        tracing::warn!(
            circuit = circuit.as_str(),
            caller = self.caller_of(circuit),
            path = self.path_of(circuit),
            rest = ?open_for,
            "circuit breaker opened"
        );
    }

    fn log_closed(&self, circuit: Circuit) {
        tracing::info!(
            circuit = circuit.as_str(),
            caller = self.caller_of(circuit),
            path = self.path_of(circuit),
            "circuit breaker closed"
        );
    }

    fn caller_of(&self, circuit: Circuit) -> Option<&str> {
        (circuit != Circuit::All).then_some(&*self.holder.caller)
    }

    fn path_of(&self, circuit: Circuit) -> Option<&str> {
        self.holder.path.as_deref().filter(|_| circuit != Circuit::All)
    }
}

fn open(circuit: Circuit, retry_after: Duration) -> Error {
    Error::CircuitOpen { circuit, retry_after }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
