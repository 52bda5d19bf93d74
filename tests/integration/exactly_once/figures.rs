//! What happened, to be sure that the test tests something.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How often something happened.
#[derive(Default)]
pub(super) struct Count(AtomicUsize);

/// How often each thing happened.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) sent: Count,
    /// RPCs that broke off with their gateway.
    pub(super) broken: Count,
    pub(super) callers_killed: Count,
    pub(super) gateways_killed: Count,
    pub(super) upstreams_killed: Count,
    pub(super) cuts: Count,
    /// Creates whose caller knows the id of the share.
    pub(super) told: Count,
    /// Creates whose caller does not know whether there is a share.
    pub(super) unknown: Count,
    /// Those of them that had a share.
    pub(super) made: Count,
    /// Creates whose caller knows that there is no share.
    pub(super) nothing: Count,
    answers: Mutex<BTreeMap<String, usize>>,
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
    /// Counts an answer by what it says.
    pub(super) fn answer(&self, says: String) {
        *self.answers.lock().unwrap().entry(says).or_default() += 1;
    }

    /// Checks that everything has happened that this is about.
    pub(super) fn check(&self) {
        let all = [
            (&self.broken, "RPCs broken"),
            (&self.callers_killed, "callers killed"),
            (&self.gateways_killed, "gateways killed"),
            (&self.upstreams_killed, "upstreams killed"),
            (&self.cuts, "cuts"),
            (&self.told, "told"),
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
        let answers = self.answers.lock().unwrap();
        write!(
            f,
            "{} were told their id, {} were left in doubt ({} of them made), {} were told \
             that nothing was made; {} RPCs sent, {} broken off; killed: {} gateways, {} \
             upstreams, {} callers; {} cuts; {answers:?}",
            self.told,
            self.unknown,
            self.made,
            self.nothing,
            self.sent,
            self.broken,
            self.gateways_killed,
            self.upstreams_killed,
            self.callers_killed,
            self.cuts,
        )
    }
}
