//! The circuit of one holder.

use std::time::Duration;

use tokio::time::Instant;

use super::row::{PROBE_INTERVAL, Row, WINDOW};

/// The fewest results whose share of failures counts.
pub(super) const FEWEST: u32 = 50;

/// How long the circuit is open the first time. Doubles with each failed probe: many
/// holders that fail may not add up to many probes.
pub(super) const FIRST_OPEN_FOR: Duration = Duration::from_secs(1);

/// The longest time that the circuit is open before a probe.
pub(super) const LONGEST_OPEN_FOR: Duration = Duration::from_secs(30);

/// How long a holder does not probe for all after it failed, or after its last probe:
/// it may fail for reasons of its own, and would take the place of those that do not.
pub(super) const REST: Duration = Duration::from_secs(5);

/// The circuit of one holder.
#[derive(Debug)]
pub(super) struct OwnCircuit {
    row: Row,
    share: Share,
    open: Option<Open>,
    rested_at: Instant,
}

/// Results since a moment.
#[derive(Debug)]
struct Share {
    since: Instant,
    failed: u32,
    all: u32,
}

#[derive(Debug)]
struct Open {
    /// When the next probe may be sent.
    until: Instant,
    open_for: Duration,
}

/// A request that finds out whether the holder's requests work again.
#[derive(Debug)]
pub(super) struct Probe {
    /// How long the circuit was open before. Of several probes, the first that fails
    /// doubles it.
    open_for: Duration,
}

impl OwnCircuit {
    /// Returns a closed circuit.
    pub(super) fn new(now: Instant) -> Self {
        Self { row: Row::new(now), share: Share::new(now), open: None, rested_at: now }
    }

    /// Reports whether only probes are sent.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns whether a request may be sent, and as what.
    ///
    /// # Errors
    ///
    /// The time until the next probe.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Option<Probe>, Duration> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if now < open.until {
            return Err(open.until - now);
        }
        open.until = now + PROBE_INTERVAL;
        Ok(Some(Probe { open_for: open.open_for }))
    }

    /// Returns when the holder may probe for all.
    pub(super) fn rested_at(&self) -> Instant {
        self.rested_at
    }

    /// Records that the holder probes for all.
    pub(super) fn rest(&mut self, now: Instant) {
        self.rested_at = now + REST;
    }

    /// Lets the holder probe for all.
    pub(super) fn wake(&mut self, now: Instant) {
        self.rested_at = now;
    }

    /// Counts a success. Reports whether it closes the circuit: a request from before
    /// it opened does not.
    pub(super) fn succeed(&mut self, probe: Option<&Probe>, now: Instant) -> bool {
        if self.open.is_some() {
            if probe.is_some() {
                *self = Self::new(now);
            }
            return probe.is_some();
        }
        self.row = Row::new(now);
        self.share.add(false, now);
        false
    }

    /// Counts a failure. Returns for how long it opens the circuit, if it does.
    pub(super) fn fail(
        &mut self,
        probe: Option<&Probe>,
        now: Instant,
    ) -> Option<Duration> {
        self.rest(now);
        let open_for = match (&self.open, probe) {
            (Some(open), Some(probe)) if open.open_for == probe.open_for => {
                (open.open_for * 2).min(LONGEST_OPEN_FOR)
            }
            (Some(_), _) => return None,
            (None, _) => {
                self.row.add(now);
                let too_often = self.share.add(true, now);
                if !too_often && !self.row.is_long() {
                    return None;
                }
                FIRST_OPEN_FOR
            }
        };
        self.row = Row::new(now);
        self.share = Share::new(now);
        self.open = Some(Open { until: now + open_for, open_for });
        Some(open_for)
    }
}

impl Share {
    fn new(now: Instant) -> Self {
        Self { since: now, failed: 0, all: 0 }
    }

    /// Counts a result. Reports whether too many have failed over a [`WINDOW`].
    fn add(&mut self, failed: bool, now: Instant) -> bool {
        if now - self.since >= WINDOW * 2 {
            *self = Self::new(now);
        }
        self.all += 1;
        self.failed += u32::from(failed);
        if now - self.since < WINDOW {
            return false;
        }
        let too_often = self.all >= FEWEST && self.failed * 2 >= self.all;
        if !too_often {
            *self = Self::new(now);
        }
        too_often
    }
}
