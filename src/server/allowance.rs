//! What callers may make the server hold in all, each with its reason.

use super::{limits::Settings, untaken::Untaken};
use crate::places::{Place, Places, Share};

/// Requests that are arriving. Honest ones come at once; those that are held back
/// each cost some KiB and what they have sent so far.
const ARRIVING: usize = 1024;

/// The same for the services beside the table, so that a flood of one kind is
/// not felt by the other.
const BESIDE: usize = 256;

/// Watches on the health of a service, which last as long as their callers like.
/// One a connection is usual.
const WATCHES: usize = 1024;

/// How many of each a connection may have when others have taken most of them. Of
/// what lasts as long as Polytomic takes, or a peer likes, it is part of all.
const SHARE: usize = 4;

/// The bytes of a request that one place is for, which are most requests as a
/// whole, and about what else there is to keep of one.
const REQUEST: usize = 4096;

/// The most bytes of an answer that one place is for.
const ANSWER: usize = 4096;

/// The most places that each connection has for its answers, whatever the others
/// hold: enough for most answers, with their messages.
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
    /// Their answers, until the caller has taken the last byte.
    answers: Places,
    /// The bytes that an answer has before it is known how large it is.
    usual: usize,
    pub(super) untaken: Untaken,
}

impl Allowance {
    pub(super) fn new(settings: &Settings) -> Self {
        let half = |most, each| {
            Places::new(most, Share { each, kept: most / 2, always: 1 }, REQUEST)
        };
        let most = settings.max_in_flight;
        // Little is kept: connections that are all busy shall have most of them.
        let in_flight = Share { each: SHARE, kept: most / 8, always: 0 };
        // A peer that takes its answers at once has no more than in flight, or some
        // dozens whose bytes wait for a thread.
        let rpcs = most.saturating_mul(3);
        let (answers, share, size) = answers(settings);
        Self {
            arriving: half(ARRIVING, SHARE),
            beside: half(BESIDE, SHARE),
            watches: half(WATCHES, SHARE),
            in_flight: Places::new(most, in_flight, REQUEST),
            rpcs: half(rpcs, SHARE.max(rpcs / 64)),
            answers: Places::new(answers, share, size),
            usual: share.always * size,
            untaken: Untaken::default(),
        }
    }

    /// Takes a place for an answer of usual size, if there is one.
    pub(super) fn answer(&self) -> Option<Place> {
        self.answers.enter_for(self.usual)
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
            usual: self.usual,
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
                let place = allowance.on_connection().answer().unwrap();
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
    fn no_setting_is_too_small_or_too_large() {
        for number in [1, 2, usize::MAX] {
            let settings = Settings {
                max_in_flight: number,
                ..settings(number.max(1 << 20), number)
            };
            let here = Allowance::new(&settings).on_connection();
            let places = (here.in_flight.enter(), here.rpcs.enter(), here.answer());
            assert!(matches!(places, (Some(_), Some(_), Some(_))), "{number}");
        }
    }

    #[test]
    fn an_answer_of_the_largest_size_has_room() {
        let settings = settings(8 << 20, 1024);
        let place = Allowance::new(&settings).answer().unwrap();
        assert!(place.resize(2 * settings.largest_answer()));
        // However many connections there are.
        assert!(settings.largest_answer() >= 1 << 20);
    }
}
