//! Counts of what clients sent and got.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{client::Reply, create::Kind};

/// The counts of a run, by kind of create.
#[derive(Default)]
pub(crate) struct Figures(Mutex<BTreeMap<Kind, BTreeMap<String, u64>>>);

impl Figures {
    /// Counts the reply of one call.
    pub(crate) fn count(&self, kind: Kind, reply: &Reply) {
        let what = match (reply.reason(), reply.error("outcome")) {
            (Some(reason), Some(outcome)) => format!("{reason} {outcome}"),
            // Of Envoy or of the library, which know no outcome.
            _ => format!("{:?}", reply.code),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(kind).or_default().entry(what).or_default() += 1;
    }

    /// Returns the number of calls.
    pub(crate) fn calls(&self) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(BTreeMap::values).sum()
    }

    /// Checks that each kind of create succeeded and failed, and that the gateway
    /// rejected retries that a library marked.
    pub(crate) fn check(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, replies) in all.iter() {
            assert!(replies.contains_key("Ok"), "{kind:?}: no success");
            assert!(replies.len() > 1, "{kind:?}: no failure");
        }
        for kind in [Kind::Library, Kind::HedgingLibrary] {
            assert!(all[&kind].contains_key("INVALID_FIELD UNKNOWN"), "{kind:?}");
        }
        for outcome in ["UNKNOWN", "REJECTED", "NOT_SENT"] {
            let mut all = all.values().flat_map(BTreeMap::keys);
            assert!(all.any(|what| what.ends_with(outcome)), "{outcome}: none");
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls of clients:", self.calls())?;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, replies) in all.iter() {
            write!(f, "\n  {kind:?}: {replies:?}")?;
        }
        Ok(())
    }
}
