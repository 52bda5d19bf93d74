//! Failures without a success between them.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open a circuit, once they have lasted for [`LASTING`]. When
/// one of Polytomic's servers stops, the requests on it fail together; the others serve
/// their retries.
pub(super) const IN_A_ROW: u32 = 20;

/// See [`IN_A_ROW`].
pub(super) const LASTING: Duration = Duration::from_secs(1);

/// How long results are counted: a failure that is older says nothing about now.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The time after which a probe without a result is followed by another. A probe that
/// waits for its own timeout must not make others wait for it.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Failures without a success, and without a pause of [`WINDOW`], between them.
#[derive(Debug)]
pub(super) struct Row {
    count: u32,
    since: Instant,
    last: Instant,
}

impl Row {
    /// Returns a row without failures.
    pub(super) fn new(now: Instant) -> Self {
        Self { count: 0, since: now, last: now }
    }

    /// Reports whether the next failure begins a new row.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.count == 0 || now - self.last > WINDOW
    }

    /// Counts a failure.
    pub(super) fn add(&mut self, now: Instant) {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.count += 1;
        self.last = now;
    }

    /// Reports whether the row is long enough to open a circuit.
    pub(super) fn is_long(&self) -> bool {
        self.count >= IN_A_ROW && self.last - self.since >= LASTING
    }
}
