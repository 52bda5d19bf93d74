//! The certificates of the gateway, as far as an operator must watch them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{Family, Metrics};

const NOT_AFTER: Family = Family::gauge(
    "gateway_tls_certificate_not_after_timestamp_seconds",
    &["certificate"],
    "When a certificate in use expires, in seconds since 1970",
);
const RELOADS: Family = Family::counter(
    "gateway_tls_certificate_reloads_total",
    &["certificate", "result"],
    "Changed certificate files, by whether they are in use (success) or the ones before \
     stay in use (failure)",
);

/// Where each certificate, by its name such as `listener`, reports its state. Clones share
/// it. Without TLS it stays empty.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<Mutex<BTreeMap<&'static str, State>>>);

#[derive(Debug, Default)]
struct State {
    not_after: Option<SystemTime>,
    loaded: u64,
    failed: u64,
}

impl Certificates {
    /// Records that a certificate is in use, which expires then.
    pub fn loaded(&self, name: &'static str, not_after: SystemTime) {
        let mut certificates = self.lock();
        let state = certificates.entry(name).or_default();
        state.loaded += u64::from(state.not_after.is_some());
        state.not_after = Some(not_after);
    }

    /// Records that a changed certificate cannot be used.
    pub fn failed(&self, name: &'static str) {
        self.lock().entry(name).or_default().failed += 1;
    }

    pub(super) fn register(&self, metrics: &Metrics) {
        let certificates = self.clone();
        metrics.register(NOT_AFTER, move |samples| {
            for (name, state) in &*certificates.lock() {
                let Some(not_after) = state.not_after else { continue };
                let at = not_after.duration_since(SystemTime::UNIX_EPOCH);
                samples.value(&[name], at.unwrap_or_default().as_secs_f64());
            }
        });
        let certificates = self.clone();
        metrics.register(RELOADS, move |samples| {
            for (name, state) in &*certificates.lock() {
                samples.count(&[name, "success"], state.loaded);
                samples.count(&[name, "failure"], state.failed);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
