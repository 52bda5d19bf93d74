//! Counts of what happened: each kind of failure must have occurred.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A count of one kind of event.
#[derive(Default)]
pub(super) struct Count(AtomicUsize);

/// The counts of a run.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) sent: Count,
    /// RPCs whose connection ended with their gateway.
    pub(super) broken: Count,
    pub(super) clients_killed: Count,
    pub(super) gateways_killed: Count,
    pub(super) upstreams_killed: Count,
    pub(super) cuts: Count,
    /// Creates whose client knows the id of the share.
    pub(super) identified: Count,
    /// Creates whose client does not know whether the share exists.
    pub(super) unknown: Count,
    /// Unknown creates that had a share.
    pub(super) made: Count,
    /// Creates whose client knows that no share exists.
    pub(super) nothing: Count,
    responses: Mutex<BTreeMap<String, usize>>,
}

impl Count {
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load(Ordering::Relaxed).fmt(f)
    }
}

impl Figures {
    /// Counts a response by its reason and outcome.
    pub(super) fn response(&self, says: String) {
        *self.responses.lock().unwrap().entry(says).or_default() += 1;
    }

    /// Checks that each kind of event has occurred.
    pub(super) fn check(&self) {
        let all = [
            (&self.broken, "RPCs broken"),
            (&self.clients_killed, "clients killed"),
            (&self.gateways_killed, "gateways killed"),
            (&self.upstreams_killed, "upstreams killed"),
            (&self.cuts, "cuts"),
            (&self.identified, "identified"),
            (&self.unknown, "unknown"),
            (&self.nothing, "nothing"),
        ];
        for (count, what) in all {
            assert!(count.0.load(Ordering::Relaxed) > 0, "{what}: none");
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let responses = self.responses.lock().unwrap();
        write!(
            f,
            "{} returned their id, {} had an unknown outcome ({} of them made), {} were \
             reported as not made; {} RPCs sent, {} broken off; killed: {} gateways, {} \
             upstreams, {} clients; {} cuts; {responses:?}",
            self.identified,
            self.unknown,
            self.made,
            self.nothing,
            self.sent,
            self.broken,
            self.gateways_killed,
            self.upstreams_killed,
            self.clients_killed,
            self.cuts,
        )
    }
}
