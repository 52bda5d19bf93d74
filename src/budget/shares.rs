//! The numbers of each capacity, with their reasons.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{FairShare, ResponseMemory, response::ResponseLimits};
use crate::telemetry::Counter;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Maximum bytes for responses that are being received or not yet read by
    /// clients.
    pub response_memory: usize,
    /// Maximum concurrent RPCs.
    pub max_in_flight: usize,
    /// Maximum concurrent connections: each has guaranteed units.
    pub max_connections: usize,
}

/// How each capacity is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Requests of RPCs whose message has not arrived yet, in units of
    /// [`REQUEST_UNIT`] bytes.
    pub receiving: FairShare,
    /// The same for health checks and reflection, until the response is read.
    pub auxiliary: FairShare,
    /// Metadata of requests beyond the first [`REQUEST_UNIT`] bytes of each, in the same
    /// units.
    pub metadata: FairShare,
    /// Watches on the health of a service.
    pub watches: FairShare,
    /// RPCs without a response yet.
    pub in_flight: FairShare,
    /// Those of keys that Polytomic has not confirmed, in addition.
    pub unconfirmed: FairShare,
    /// RPCs that are in flight or whose response is not read yet.
    pub open_rpcs: FairShare,
    /// Responses that are being received or not yet read, in units of
    /// `response_unit` bytes.
    pub response_memory: FairShare,
    /// Bytes per unit of response memory.
    pub response_unit: usize,
    /// Units of response memory for one response at a time, in addition.
    pub response_turn: usize,
    /// Units for messages that were made in that turn and do not fit elsewhere.
    pub response_messages: usize,
    /// Responses that wait for shared memory.
    pub waiting: FairShare,
}

/// Bytes per unit of a request: most requests as a whole, and about the bytes that
/// a stream costs in addition.
pub const REQUEST_UNIT: usize = 4096;

/// Maximum bytes per unit of a response.
const RESPONSE_UNIT: usize = 4096;

/// Maximum units of response memory that are guaranteed to each client: most
/// responses, with their messages.
const GUARANTEED_RESPONSE: usize = 16;

/// Maximum units of the turn: a semaphore counts them.
const MOST_TURN: usize = 1 << 28;

/// What a client may hold of a busy capacity: enough to work.
const FLOOR: usize = 4;

impl Settings {
    /// Returns how each capacity is shared.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let in_flight = self.max_in_flight;
        let open = in_flight.saturating_mul(3);
        let (response_memory, response_unit, response_turn) = self.response_memory();
        // Each waits with its initial memory: together up to an eighth.
        let waiting = response_memory.total / 8 / response_memory.guaranteed;
        Shares {
            // A request that is not held back arrives within a round trip. One that
            // is costs a unit or more for up to 10 s.
            receiving: half_reserved(1024, FLOOR),
            // Separate, so that a flood of health checks rejects no RPC.
            auxiliary: half_reserved(256, FLOOR),
            // Two units beyond the first suffice for a credential of 8 KiB. As many RPCs
            // as `in_flight` has by default may have one; each client may have one. The
            // floor is one request to reflection, which needs 15 units.
            metadata: FairShare { total: 2048, reserved: 256, floor: 16, guaranteed: 2 },
            // A watch lasts as long as its client likes. One per connection is usual.
            watches: half_reserved(1024, FLOOR),
            // The reserve is small, so that few busy clients may use most of it. No
            // unit is guaranteed: the flag is a maximum.
            in_flight: FairShare {
                total: in_flight,
                reserved: in_flight / 8,
                floor: FLOOR,
                guaranteed: 0,
            },
            // On a connection that it shares with other keys, such a key leaves room
            // for them: it gets less than the connection does.
            unconfirmed: FairShare { guaranteed: 0, ..half_reserved(in_flight, FLOOR) },
            // A client that reads its responses has as many open as in flight, and some
            // dozens more whose bytes wait for a thread.
            open_rpcs: half_reserved(open, FLOOR.max(open / 64)),
            response_memory,
            response_unit,
            response_turn,
            response_messages: response_turn / 2,
            waiting: FairShare {
                total: waiting,
                reserved: waiting / 4,
                floor: FLOOR,
                guaranteed: 0,
            },
        }
    }

    /// Returns how the memory for responses is shared, the bytes of a unit, and the
    /// units of the turn. What is guaranteed comes out of the memory too: up to a
    /// quarter of it. So does the turn, another quarter, and half of that for its
    /// messages.
    fn response_memory(&self) -> (FairShare, usize, usize) {
        let clients = self.max_connections.max(1);
        let each = self.response_memory / 4 / clients;
        let unit = each.clamp(1, RESPONSE_UNIT);
        let guaranteed = (each / unit).clamp(1, GUARANTEED_RESPONSE);
        let units = self.response_memory / unit;
        let turn = (units / 4).min(MOST_TURN);
        let total =
            units.saturating_sub(turn + turn / 2).saturating_sub(clients * guaranteed);
        let floor = FLOOR * guaranteed;
        (FairShare { total, reserved: total / 4, floor, guaranteed }, unit, turn)
    }

    /// Returns the maximum bytes of a JSON response for which there is memory, after a
    /// wait if there are others.
    #[must_use]
    pub fn largest_response(&self) -> usize {
        ResponseMemory::largest_json(
            self.shares().response_limits().largest_after_waiting(),
        )
    }
}

impl Shares {
    pub(super) fn response_limits(&self) -> ResponseLimits {
        let (share, unit) = (self.response_memory, self.response_unit);
        let initial = share.guaranteed * unit;
        // While as many wait as may.
        let largest_shared = share.limit(share.total / 8) * unit;
        let units = u32::try_from(self.response_turn).expect("it is limited");
        ResponseLimits {
            initial,
            largest_alone: share.limit(0) * unit,
            largest_shared: largest_shared.saturating_sub(initial),
            unit,
            turn_units: units,
            turn: Arc::new(Semaphore::new(self.response_turn)),
            messages: Arc::new(Semaphore::new(self.response_messages)),
            waits: Counter::default(),
        }
    }
}

/// For what a client may keep as long as it likes: half is kept for the floors of
/// others, and each has one unit in any case.
fn half_reserved(total: usize, floor: usize) -> FairShare {
    FairShare { total, reserved: total / 2, floor, guaranteed: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn responses_never_hold_more_than_their_memory() {
        for (memory, connections) in
            [(256 * MIB, 1024), (8 * MIB, 1024), (256 * MIB, 20_000), (MIB, 1)]
        {
            let settings = Settings {
                response_memory: memory,
                max_in_flight: 1024,
                max_connections: connections,
            };
            let Shares {
                response_memory,
                response_unit,
                response_turn,
                response_messages,
                ..
            } = settings.shares();
            let guaranteed = connections * response_memory.guaranteed;
            let units =
                response_memory.total + guaranteed + response_turn + response_messages;
            let most = units * response_unit;
            assert!(most <= memory, "{most} of {memory}");
            assert!(most > memory - response_unit, "{most} of {memory}");
            assert!(guaranteed * response_unit <= memory / 4, "{memory}");
        }
    }
}
