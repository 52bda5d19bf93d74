//! Each capacity of the gateway, with the reason for its numbers.

use super::{
    Exhausted, FairShare, Reservation, ResponseMemory, SharedCapacity, UnreadResponses,
};

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
    /// RPCs that are in flight or whose response is not read yet.
    pub open_rpcs: FairShare,
    /// Responses that are being received or not yet read, in units of
    /// `response_unit` bytes.
    pub response_memory: FairShare,
    /// Bytes per unit of response memory.
    pub response_unit: usize,
}

/// Bytes per unit of a request: most requests as a whole, and about the bytes that
/// a stream costs in addition.
pub const REQUEST_UNIT: usize = 4096;

/// Maximum bytes per unit of a response.
const RESPONSE_UNIT: usize = 4096;

/// Maximum units of response memory that are guaranteed to each client: most
/// responses, with their messages.
const GUARANTEED_RESPONSE: usize = 16;

/// What a client may hold of a busy capacity: enough to work.
const FLOOR: usize = 4;

impl Settings {
    /// Returns how each capacity is shared.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let in_flight = self.max_in_flight;
        let open = in_flight.saturating_mul(3);
        let (response_memory, response_unit) = self.response_memory();
        Shares {
            // A request that is not held back arrives within a round trip. One that
            // is costs a unit or more for up to 10 s.
            receiving: half_reserved(1024, FLOOR),
            // Separate, so that a flood of health checks rejects no RPC.
            auxiliary: half_reserved(256, FLOOR),
            // Two units beyond the first suffice for a credential of 8 KiB. As many RPCs
            // as `in_flight` has by default may have one; each client may have one.
            metadata: FairShare { total: 2048, reserved: 256, floor: 8, guaranteed: 2 },
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
            // A client that reads its responses has as many open as in flight, and some
            // dozens more whose bytes wait for a thread.
            open_rpcs: half_reserved(open, FLOOR.max(open / 64)),
            response_memory,
            response_unit,
        }
    }

    /// Returns how the memory for responses is shared, and the bytes of a unit. What
    /// is guaranteed comes out of the memory too: up to a quarter of it.
    fn response_memory(&self) -> (FairShare, usize) {
        let clients = self.max_connections.max(1);
        let each = self.response_memory / 4 / clients;
        let unit = each.clamp(1, RESPONSE_UNIT);
        let guaranteed = (each / unit).clamp(1, GUARANTEED_RESPONSE);
        let total = (self.response_memory / unit).saturating_sub(clients * guaranteed);
        let floor = FLOOR * guaranteed;
        (FairShare { total, reserved: total / 4, floor, guaranteed }, unit)
    }

    /// Returns the maximum bytes of a JSON response if there are no others.
    #[must_use]
    pub fn largest_response(&self) -> usize {
        let (share, unit) = self.response_memory();
        ResponseMemory::largest_json(share.limit(0) * unit)
    }
}

/// For what a client may keep as long as it likes: half is kept for the floors of
/// others, and each has one unit in any case.
fn half_reserved(total: usize, floor: usize) -> FairShare {
    FairShare { total, reserved: total / 2, floor, guaranteed: 1 }
}

/// The capacities of the gateway, as one connection sees them.
#[derive(Debug, Clone)]
pub struct Capacities {
    pub(crate) receiving: SharedCapacity,
    pub(crate) auxiliary: SharedCapacity,
    metadata: SharedCapacity,
    pub(crate) watches: SharedCapacity,
    in_flight: SharedCapacity,
    open_rpcs: SharedCapacity,
    response_memory: SharedCapacity,
    /// Bytes that a response holds before its size is known.
    initial_response: usize,
    max_connections: usize,
    pub(crate) unread: UnreadResponses,
}

impl Capacities {
    /// Makes the capacities of a gateway.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let shares = settings.shares();
        let of_requests = |error, share| SharedCapacity::new(error, share, REQUEST_UNIT);
        Self {
            receiving: of_requests(Exhausted::Receiving, shares.receiving),
            auxiliary: of_requests(Exhausted::Auxiliary, shares.auxiliary),
            metadata: of_requests(Exhausted::Metadata, shares.metadata),
            watches: of_requests(Exhausted::Watches, shares.watches),
            in_flight: of_requests(Exhausted::InFlight, shares.in_flight),
            open_rpcs: of_requests(Exhausted::OpenRpcs, shares.open_rpcs),
            response_memory: SharedCapacity::new(
                Exhausted::ResponseMemory,
                shares.response_memory,
                shares.response_unit,
            ),
            initial_response: shares.response_memory.guaranteed * shares.response_unit,
            max_connections: settings.max_connections,
            unread: UnreadResponses::default(),
        }
    }

    /// Returns the same capacities for another connection.
    #[must_use]
    pub fn on_connection(&self) -> Self {
        Self {
            receiving: self.receiving.for_client(),
            auxiliary: self.auxiliary.for_client(),
            metadata: self.metadata.for_client(),
            watches: self.watches.for_client(),
            in_flight: self.in_flight.for_client(),
            open_rpcs: self.open_rpcs.for_client(),
            response_memory: self.response_memory.for_client(),
            initial_response: self.initial_response,
            max_connections: self.max_connections,
            unread: UnreadResponses::default(),
        }
    }

    /// Reserves `bytes` of metadata, for as long as a request has it. Most requests need
    /// no reservation: the first [`REQUEST_UNIT`] bytes count as part of the request.
    ///
    /// # Errors
    ///
    /// If the client would then hold more than it may.
    pub(crate) fn try_reserve_metadata(
        &self,
        bytes: usize,
    ) -> Result<Option<Reservation>, Exhausted> {
        let large = bytes.checked_sub(REQUEST_UNIT).filter(|large| *large > 0);
        large.map(|large| self.metadata.try_reserve_bytes(large)).transpose()
    }

    /// Reserves what an RPC needs: a unit while it is in flight, and the memory of
    /// its response until that is read.
    ///
    /// # Errors
    ///
    /// Names the capacity that is in use.
    pub fn try_reserve_rpc(&self) -> Result<(Reservation, ResponseMemory), Exhausted> {
        let in_flight = self.in_flight.try_reserve()?;
        let open = self.open_rpcs.try_reserve()?;
        let bytes = self.response_memory.try_reserve_bytes(self.initial_response)?;
        Ok((in_flight, ResponseMemory::new(open, bytes)))
    }

    /// Returns the maximum number of concurrent connections.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const MIB: usize = 1 << 20;

    fn settings(response_memory: usize, max_connections: usize) -> Settings {
        Settings { response_memory, max_in_flight: 1024, max_connections }
    }

    #[test]
    fn responses_never_hold_more_than_their_memory() {
        for (memory, connections) in
            [(256 * MIB, 1024), (8 * MIB, 1024), (256 * MIB, 20_000), (MIB, 1)]
        {
            let Shares { response_memory, response_unit, .. } =
                settings(memory, connections).shares();
            let guaranteed = connections * response_memory.guaranteed;
            let most = (response_memory.total + guaranteed) * response_unit;
            assert!(most <= memory, "{most} of {memory}");
            assert!(most > memory - response_unit, "{most} of {memory}");
            assert!(guaranteed * response_unit <= memory / 4, "{memory}");
        }
    }

    #[test]
    fn every_connection_can_be_answered() {
        for number in [1, 2, usize::MAX] {
            let settings =
                Settings { max_in_flight: number, ..settings(number.max(MIB), number) };
            let connection = Capacities::new(&settings).on_connection();
            assert!(connection.try_reserve_rpc().is_ok(), "{number}");
        }
    }

    #[test]
    fn only_large_metadata_is_limited() {
        let connection = Capacities::new(&settings(MIB, 1024)).on_connection();
        let reserve = |bytes| connection.try_reserve_metadata(bytes);
        let credential = 8 << 10;
        let held: Vec<_> =
            (0..).map_while(|_| reserve(REQUEST_UNIT + credential).ok()).collect();
        assert_eq!(held.len(), 448, "as many as RPCs in flight");
        assert!(reserve(REQUEST_UNIT + 1).is_err());
        assert!(reserve(REQUEST_UNIT).unwrap().is_none());
        drop(held);
        assert!(reserve(REQUEST_UNIT + 1).unwrap().is_some());
    }

    #[test]
    fn response_of_the_largest_size_is_received() {
        let settings = settings(8 * MIB, 1024);
        let largest = settings.largest_response();
        let (_in_flight, response) =
            Capacities::new(&settings).try_reserve_rpc().unwrap();
        response.grow_to(ResponseMemory::needed_for(largest)).unwrap();
        assert_eq!(
            response.grow_to(ResponseMemory::needed_for(largest + RESPONSE_UNIT)),
            Err(Exhausted::ResponseMemory)
        );
        // An eighth of the memory, as --help says.
        assert!(largest >= settings.response_memory / 8);
    }
}
