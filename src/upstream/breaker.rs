//! The circuit breaker: stops requests that would only fail.
//!
//! A request that fails anyway costs its client a timeout, and hinders Polytomic's
//! recovery. But one client's failures say nothing about the requests of others. So
//! each [`Holder`] has a circuit, and one more is for all: it opens only while no
//! request gets a response and several holders fail, or while there are no connections.

mod holder;
mod holders;
mod own;
mod row;
mod shared;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use self::holder::Holder;
use self::{
    holders::OwnCircuits, own::Probe, row::PROBE_INTERVAL, shared::SharedCircuit,
};
use super::{Circuit, Error, client::Client};
use crate::telemetry::Counters;

/// A circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    hasher: RandomState,
    circuits: Mutex<Circuits>,
    /// Circuits that opened.
    pub(super) opened: Counters,
    /// Requests that a circuit stopped.
    pub(super) refused: Counters,
}

#[derive(Debug)]
struct Circuits {
    own: OwnCircuits,
    all: SharedCircuit,
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
    probe: Option<Probe>,
}

impl Breaker {
    /// Makes a breaker whose circuits are closed.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let (own, all) = (OwnCircuits::new(now), SharedCircuit::new(now));
        let [opened, refused] =
            [(); 2].map(|()| Counters::new(Circuit::ALL.map(Circuit::as_str)));
        Self {
            hasher: RandomState::new(),
            circuits: Mutex::new(Circuits { own, all }),
            opened,
            refused,
        }
    }

    /// Reports whether requests are sent, as far as no holder matters.
    pub(super) fn is_closed_for_all(&self) -> bool {
        !self.circuits().all.is_open()
    }

    /// Returns how many circuits of each kind are open.
    pub(super) fn open(&self) -> [(Circuit, usize); 3] {
        let Circuits { own, all } = &*self.circuits();
        let [keys, paths] = own.open(Instant::now());
        let all = usize::from(all.is_open());
        [(Circuit::Key, keys), (Circuit::Path, paths), (Circuit::All, all)]
    }

    /// Returns permission to send a request for a holder.
    ///
    /// # Errors
    ///
    /// [`Error::CircuitOpen`], while the circuit of the holder or that of all is open.
    pub(super) fn admit(self: &Arc<Self>, holder: Holder) -> Result<Permit, Error> {
        self.try_admit(holder).map_err(|(circuit, retry_after)| {
            self.refused.add(circuit.as_str());
            Error::CircuitOpen { circuit, retry_after }
        })
    }

    fn try_admit(
        self: &Arc<Self>,
        holder: Holder,
    ) -> Result<Permit, (Circuit, Duration)> {
        let now = Instant::now();
        let id = self.id(&holder);
        let Circuits { own, all } = &mut *self.circuits();
        let (mut probe, mut rested_at) = (None, now);
        if let Some(own) = own.get(id, now) {
            let admitted = own.admit(now);
            probe = admitted.map_err(|wait| (holder.circuit(), wait))?;
            rested_at = own.rested_at();
        }
        let is_probe = all
            .admit(holder.counts, rested_at, now)
            .map_err(|wait| (Circuit::All, wait))?;
        if is_probe && let Some(own) = own.get_or_add(id, holder.circuit(), now) {
            own.rest(now);
        }
        Ok(Permit { breaker: Arc::clone(self), holder, id, probe })
    }

    fn id(&self, holder: &Holder) -> u64 {
        if holder.path.is_none() { holder.key.0 } else { self.hasher.hash_one(holder) }
    }

    fn circuits(&self) -> MutexGuard<'_, Circuits> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
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
        let Self { breaker, holder, id, probe } = &self;
        let (id, probe) = (*id, probe.as_ref());
        match evidence {
            Evidence::Responds => {
                let (closes_own, closes_all) = {
                    let Circuits { own, all } = &mut *breaker.circuits();
                    let circuit = own.get(id, now);
                    let closes_own = circuit.is_some_and(|own| own.succeed(probe, now));
                    let closes_all = all.succeed(now);
                    if closes_all {
                        // They opened in the same outage.
                        own.clear();
                    }
                    (closes_own, closes_all)
                };
                if closes_own {
                    self.log_closed(holder.circuit());
                }
                if closes_all {
                    self.log_closed(Circuit::All);
                }
            }
            Evidence::Fails => {
                let (open_for, opens_all) = {
                    let Circuits { own, all } = &mut *breaker.circuits();
                    let circuit = own.get_or_add(id, holder.circuit(), now);
                    let open_for = circuit.and_then(|own| own.fail(probe, now));
                    (open_for, all.fail(holder.counts.then_some(id), now))
                };
                if let Some(open_for) = open_for {
                    self.log_opened(holder.circuit(), open_for);
                }
                if opens_all {
                    self.log_opened(Circuit::All, PROBE_INTERVAL);
                }
            }
            Evidence::Unreachable => {
                let opens_all = {
                    let Circuits { own, all } = &mut *breaker.circuits();
                    // No fault of the holder, which may probe for all again.
                    if let Some(own) = own.get(id, now) {
                        own.wake(now);
                    }
                    all.fail_to_connect(now)
                };
                if opens_all {
                    self.log_opened(Circuit::All, PROBE_INTERVAL);
                }
            }
        }
    }

    fn log_opened(&self, circuit: Circuit, open_for: Duration) {
        self.breaker.opened.add(circuit.as_str());
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

    fn caller_of(&self, circuit: Circuit) -> Option<String> {
        (circuit != Circuit::All).then(|| self.holder.key.to_string())
    }

    fn path_of(&self, circuit: Circuit) -> Option<&str> {
        self.holder.path.as_deref().filter(|_| circuit != Circuit::All)
    }
}

#[cfg(test)]
mod tests;
