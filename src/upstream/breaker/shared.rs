//! The circuit of all holders.

use std::time::Duration;

use tokio::time::Instant;

use super::row::{IN_A_ROW, PROBE_INTERVAL, Row};

/// The fewest holders whose failures open the circuit. Two may be one client with an
/// old and a new key.
pub(super) const SPREAD: usize = 3;

/// Stands for all holders that do not count each.
const UNCOUNTED: u64 = 0;

/// The circuit of all holders. Any response closes it, and begins a new row: it is open
/// only while no request gets one.
#[derive(Debug)]
pub(super) struct SharedCircuit {
    row: Row,
    /// Failures of the row without a connection.
    unreachable: u32,
    /// The holders that failed in the row, up to [`SPREAD`].
    holders: Vec<u64>,
    /// When the next probe may be sent, while the circuit is open: of holders that do
    /// not count, and of those that do. Made-up keys must not take the probes of others.
    open: Option<[Instant; 2]>,
}

impl SharedCircuit {
    /// Returns a closed circuit.
    pub(super) fn new(now: Instant) -> Self {
        let holders = Vec::with_capacity(SPREAD);
        Self { row: Row::new(now), unreachable: 0, holders, open: None }
    }

    /// Reports whether only probes are sent.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Reports whether a request that may be sent is a probe. A holder probes from
    /// `rested_at` on.
    ///
    /// # Errors
    ///
    /// The time until the holder may send the next probe.
    pub(super) fn admit(
        &mut self,
        counts: bool,
        rested_at: Instant,
        now: Instant,
    ) -> Result<bool, Duration> {
        let Some(next) = &mut self.open else { return Ok(false) };
        let next = &mut next[usize::from(counts)];
        let at = rested_at.max(*next);
        if now < at {
            return Err(at - now);
        }
        *next = now + PROBE_INTERVAL;
        Ok(true)
    }

    /// Records a response. Reports whether it closes the circuit.
    pub(super) fn succeed(&mut self, now: Instant) -> bool {
        self.begin_row(now);
        self.open.take().is_some()
    }

    /// Counts a failure of a holder, or of one that does not count. Reports whether it
    /// opens the circuit.
    pub(super) fn fail(&mut self, holder: Option<u64>, now: Instant) -> bool {
        self.add(now);
        let holder = holder.unwrap_or(UNCOUNTED);
        if self.holders.len() < SPREAD && !self.holders.contains(&holder) {
            self.holders.push(holder);
        }
        self.open_if_due(now)
    }

    /// Counts a failure to connect. Reports whether it opens the circuit.
    pub(super) fn fail_to_connect(&mut self, now: Instant) -> bool {
        self.add(now);
        self.unreachable += 1;
        self.open_if_due(now)
    }

    fn add(&mut self, now: Instant) {
        if self.row.is_over(now) {
            self.begin_row(now);
        }
        self.row.add(now);
    }

    fn begin_row(&mut self, now: Instant) {
        self.row = Row::new(now);
        self.unreachable = 0;
        self.holders.clear();
    }

    fn open_if_due(&mut self, now: Instant) -> bool {
        let is_shared = self.holders.len() >= SPREAD || self.unreachable >= IN_A_ROW;
        if self.is_open() || !is_shared || !self.row.is_long() {
            return false;
        }
        self.open = Some([now + PROBE_INTERVAL; 2]);
        true
    }
}
