//! What callers may make the server hold in all, each with its reason.

use super::{limits::Settings, untaken::Untaken};
use crate::places::{Places, Share};

/// Requests that are arriving. Honest ones come at once; those that are held back
/// each cost some KiB and what they have sent so far.
const ARRIVING: usize = 1024;

/// The same for the services beside the table, so that a flood of one kind is
/// not felt by the other.
const BESIDE: usize = 256;

/// Watches on the health of a service, which last as long as their callers like.
/// One a connection is usual.
const WATCHES: usize = 1024;

/// How many a connection may have, of those and of others, when most are taken.
const SHARE: usize = 4;

/// The bytes of a request that one place is for, which are most requests as a
/// whole, and about what else there is to keep of one.
const REQUEST: usize = 4096;

/// The most bytes of an answer that one place is for.
const ANSWER: usize = 4096;

/// The most places that are left for the answers on each connection, whatever the
/// others hold: enough for most lists.
const ANSWERS: usize = 16;

/// The places of one connection among those of all.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    pub(super) arriving: Places,
    pub(super) beside: Places,
    pub(super) watches: Places,
    /// RPCs of the table, until there is an answer.
    pub(super) in_flight: Places,
    /// RPCs of the table, until their answers are taken.
    pub(super) rpcs: Places,
    /// Their answers, from the first byte that Polytomic sends to the last that
    /// the caller takes.
    pub(super) answers: Places,
    pub(super) untaken: Untaken,
}

impl Allowance {
    pub(super) fn new(settings: &Settings) -> Self {
        let half = |most, each| {
            Places::new(most, Share { each, kept: most / 2, always: 1 }, REQUEST)
        };
        let most = settings.max_in_flight;
        let in_flight = Share { each: SHARE.max(most / 128), kept: most / 4, always: 0 };
        let rpcs = most.saturating_mul(3);
        let (answers, share, size) = answers(settings);
        Self {
            arriving: half(ARRIVING, SHARE),
            beside: half(BESIDE, SHARE),
            watches: half(WATCHES, SHARE),
            in_flight: Places::new(most, in_flight, REQUEST),
            // A busy connection has some dozens for as long as a thread waits for
            // its turn.
            rpcs: half(rpcs, SHARE.max(rpcs / 64)),
            answers: Places::new(answers, share, size),
            untaken: Untaken::default(),
        }
    }

    /// Returns the same for another connection.
    pub(super) fn on_connection(&self) -> Self {
        Self {
            arriving: self.arriving.on_connection(),
            beside: self.beside.on_connection(),
            watches: self.watches.on_connection(),
            in_flight: self.in_flight.on_connection(),
            rpcs: self.rpcs.on_connection(),
            answers: self.answers.on_connection(),
            untaken: Untaken::default(),
        }
    }
}

/// Returns how many places there are for answers, what is kept of them, and their
/// bytes. Those that each connection always has are taken from the memory too: a
/// quarter of it at most.
fn answers(settings: &Settings) -> (usize, Share, usize) {
    let (memory, connections) = (settings.answer_memory, settings.max_connections.max(1));
    let fair = memory / 4 / connections;
    let size = fair.clamp(1, ANSWER);
    let always = (fair / size).clamp(1, ANSWERS);
    let most = (memory / size).saturating_sub(connections * always);
    (most, Share { each: SHARE * always, kept: most / 4, always }, size)
}

impl Settings {
    /// Returns how large an answer may be, in bytes of JSON and with as many of its
    /// message, if there are no others.
    #[must_use]
    pub fn largest_answer(&self) -> usize {
        let (most, share, size) = answers(self);
        (most - share.kept) / 2 * size / 2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    fn settings(answer_memory: usize, max_connections: usize) -> Settings {
        let none = Duration::ZERO;
        Settings {
            lame_duck: none,
            drain_limit: none,
            max_connections,
            max_connection_age: none,
            max_connection_age_grace: none,
            max_connection_idle: none,
            handshake_timeout: none,
            write_timeout: none,
            answer_memory,
            max_in_flight: 1024,
        }
    }

    #[test]
    fn answers_never_take_more_than_their_memory() {
        const MIB: usize = 1 << 20;
        for (memory, connections) in
            [(256 * MIB, 1024), (8 * MIB, 1024), (256 * MIB, 20_000), (MIB, 1)]
        {
            let settings = settings(memory, connections);
            let allowance = Allowance::new(&settings);
            let mut held = 0;
            let mut places = Vec::new();
            for _ in 0..connections {
                let here = allowance.on_connection().answers;
                let place = here.enter().unwrap();
                let mut bytes = 1;
                while place.resize(2 * bytes) {
                    bytes *= 2;
                }
                held += bytes;
                places.push(place);
            }
            assert!(held <= memory, "{held} of {memory}");
            assert!(held >= memory / 4, "{held} of {memory}");
        }
    }

    #[test]
    fn an_answer_of_the_largest_size_has_room() {
        let settings = settings(8 << 20, 1024);
        let place = Allowance::new(&settings).answers.enter().unwrap();
        assert!(place.resize(2 * settings.largest_answer()));
        // However many connections there are.
        assert!(settings.largest_answer() >= 1 << 20);
    }
}
