//! What callers may make the server hold in all, each with its reason.

use super::{limits::Settings, untaken::Untaken};
use crate::places::Places;

/// Requests that are arriving. Honest ones come at once; those that are held back
/// each cost some KiB and what they have sent so far.
const ARRIVING: usize = 1024;

/// The same for the services beside the table, so that a flood of one kind is
/// not felt by the other.
const BESIDE: usize = 256;

/// Watches on the health of a service, which last as long as their callers like.
/// One a connection is usual.
const WATCHES: usize = 1024;

/// How many of each a connection may have once half of them are taken.
const SHARE: usize = 4;

/// The bytes of a request that one place is for, which are most requests as a
/// whole.
const REQUEST: usize = 4096;

/// The places of one connection among those of all.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    pub(super) arriving: Places,
    pub(super) beside: Places,
    pub(super) watches: Places,
    /// Answers, from the first byte that Polytomic sends to the last that the
    /// caller takes.
    pub(super) answers: Places,
    pub(super) untaken: Untaken,
}

impl Allowance {
    pub(super) fn new(settings: &Settings) -> Self {
        // Half of them are enough for all RPCs in flight, so that an answer which
        // fits one is never refused, a create's least of all.
        let answers = settings.max_in_flight.saturating_mul(2);
        let answer = settings.answer_memory / answers;
        Self {
            arriving: Places::new(ARRIVING, SHARE, REQUEST),
            beside: Places::new(BESIDE, SHARE, REQUEST),
            watches: Places::new(WATCHES, SHARE, REQUEST),
            answers: Places::new(answers, SHARE, answer),
            untaken: Untaken::default(),
        }
    }

    /// Returns the same for another connection.
    pub(super) fn on_connection(&self) -> Self {
        Self {
            arriving: self.arriving.on_connection(),
            beside: self.beside.on_connection(),
            watches: self.watches.on_connection(),
            answers: self.answers.on_connection(),
            untaken: Untaken::default(),
        }
    }
}
