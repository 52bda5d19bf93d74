//! What callers may make the server hold in all, each with its reason.

use super::{
    capacity::{FairShare, Reservation, SharedCapacity},
    unread::UnreadResponses,
};

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Maximum bytes for responses that are being received or not yet read by
    /// clients.
    pub response_memory: usize,
    /// Maximum concurrent RPCs.
    pub max_in_flight: usize,
    /// Maximum concurrent connections: each has a guaranteed part.
    pub max_connections: usize,
}

/// Requests that are receiving. Honest ones come at once; those that are held back
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
pub struct Capacities {
    pub(crate) receiving: SharedCapacity,
    pub(crate) auxiliary: SharedCapacity,
    pub(crate) watches: SharedCapacity,
    /// RPCs of the table, until there is an answer.
    pub(crate) in_flight: SharedCapacity,
    /// RPCs of the table, until their answers are taken.
    pub(crate) rpcs: SharedCapacity,
    /// Their answers, until the caller has taken the last byte.
    answers: SharedCapacity,
    /// The bytes that an answer has before it is known how large it is.
    usual: usize,
    max_connections: usize,
    pub(crate) unread: UnreadResponses,
}

impl Capacities {
    /// Makes the capacities of a whole gateway.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let half = |most, each| {
            SharedCapacity::new(
                most,
                FairShare { floor: each, reserved: most / 2, guaranteed: 1 },
                REQUEST,
            )
        };
        let most = settings.max_in_flight;
        // Little is reserved: connections that are all busy shall have most of them.
        let in_flight = FairShare { floor: SHARE, reserved: most / 8, guaranteed: 0 };
        // A peer that takes its answers at once has no more than in flight, or some
        // dozens whose bytes wait for a thread.
        let rpcs = most.saturating_mul(3);
        let (answers, share, size) = answers(settings);
        Self {
            receiving: half(ARRIVING, SHARE),
            auxiliary: half(BESIDE, SHARE),
            watches: half(WATCHES, SHARE),
            in_flight: SharedCapacity::new(most, in_flight, REQUEST),
            rpcs: half(rpcs, SHARE.max(rpcs / 64)),
            answers: SharedCapacity::new(answers, share, size),
            usual: share.guaranteed * size,
            max_connections: settings.max_connections,
            unread: UnreadResponses::default(),
        }
    }

    /// Takes a place for an answer of usual size, if there is one.
    pub(crate) fn answer(&self) -> Option<Reservation> {
        self.answers.try_reserve_bytes(self.usual)
    }

    /// Returns the maximum number of concurrent connections.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Returns the same for another connection.
    pub(crate) fn on_connection(&self) -> Self {
        Self {
            receiving: self.receiving.on_connection(),
            auxiliary: self.auxiliary.on_connection(),
            watches: self.watches.on_connection(),
            in_flight: self.in_flight.on_connection(),
            rpcs: self.rpcs.on_connection(),
            answers: self.answers.on_connection(),
            usual: self.usual,
            max_connections: self.max_connections,
            unread: UnreadResponses::default(),
        }
    }
}

/// Returns how many places there are for answers, what is kept of them, and their
/// bytes. Those that each connection always has are taken from the memory too: a
/// quarter of it at most.
fn answers(settings: &Settings) -> (usize, FairShare, usize) {
    let (memory, connections) =
        (settings.response_memory, settings.max_connections.max(1));
    let fair = memory / 4 / connections;
    let size = fair.clamp(1, ANSWER);
    let always = (fair / size).clamp(1, ANSWERS);
    let most = (memory / size).saturating_sub(connections * always);
    (
        most,
        FairShare { floor: SHARE * always, reserved: most / 4, guaranteed: always },
        size,
    )
}

impl Settings {
    /// Returns how large an answer may be, in bytes of JSON and with as many of its
    /// message, if there are no others.
    #[must_use]
    pub fn largest_answer(&self) -> usize {
        let (most, share, size) = answers(self);
        (most - share.reserved) / 2 * size / 2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn settings(response_memory: usize, max_connections: usize) -> Settings {
        Settings { response_memory, max_in_flight: 1024, max_connections }
    }

    #[test]
    fn answers_never_take_more_than_their_memory() {
        const MIB: usize = 1 << 20;
        for (memory, connections) in
            [(256 * MIB, 1024), (8 * MIB, 1024), (256 * MIB, 20_000), (MIB, 1)]
        {
            let settings = settings(memory, connections);
            let capacities = Capacities::new(&settings);
            let mut held = 0;
            let mut places = Vec::new();
            for _ in 0..connections {
                let place = capacities.on_connection().answer().unwrap();
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
            let here = Capacities::new(&settings).on_connection();
            let places =
                (here.in_flight.try_reserve(), here.rpcs.try_reserve(), here.answer());
            assert!(matches!(places, (Some(_), Some(_), Some(_))), "{number}");
        }
    }

    #[test]
    fn an_answer_of_the_largest_size_has_room() {
        let settings = settings(8 << 20, 1024);
        let place = Capacities::new(&settings).answer().unwrap();
        assert!(place.resize(2 * settings.largest_answer()));
        // However many connections there are.
        assert!(settings.largest_answer() >= 1 << 20);
    }
}
