//! Each capacity of the gateway, with the reason for its numbers.

use std::sync::Arc;

use super::{
    Exhausted, FairShare, ReceivedRpc, Reservation, ResponseMemory, SharedCapacity,
    Standing, UnreadResponses,
    keys::{Key, Keys},
    response::ResponseLimits,
};
use crate::peer::Peer;
use tokio::sync::Semaphore;

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
    fn response_limits(&self) -> ResponseLimits {
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
        }
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
    receiving: SharedCapacity,
    pub(crate) auxiliary: SharedCapacity,
    metadata: SharedCapacity,
    pub(crate) watches: SharedCapacity,
    pub(super) in_flight: SharedCapacity,
    pub(super) open_rpcs: SharedCapacity,
    pub(super) response_memory: SharedCapacity,
    pub(super) waiting: SharedCapacity,
    pub(super) limits: Arc<ResponseLimits>,
    pub(super) keys: Arc<Keys>,
    max_connections: usize,
    pub(crate) unread: UnreadResponses,
    pub(crate) standing: Standing,
    /// The other side of the connection, for whom its RPCs are counted and logged.
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Capacities {
    /// Makes the capacities of a gateway.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let shares = settings.shares();
        let of_requests = |error, share| SharedCapacity::new(error, share, REQUEST_UNIT);
        let in_flight = of_requests(Exhausted::InFlight, shares.in_flight);
        let open_rpcs = of_requests(Exhausted::OpenRpcs, shares.open_rpcs);
        let response_memory = SharedCapacity::new(
            Exhausted::ResponseMemory,
            shares.response_memory,
            shares.response_unit,
        );
        let waiting = SharedCapacity::new(Exhausted::ResponseMemory, shares.waiting, 1);
        let keys = Keys::new(Key {
            in_flight: in_flight.clone(),
            open_rpcs: open_rpcs.clone(),
            response_memory: response_memory.clone(),
            waiting: waiting.clone(),
            unconfirmed: of_requests(Exhausted::InFlight, shares.unconfirmed),
        });
        Self {
            receiving: of_requests(Exhausted::Receiving, shares.receiving),
            auxiliary: of_requests(Exhausted::Auxiliary, shares.auxiliary),
            metadata: of_requests(Exhausted::Metadata, shares.metadata),
            watches: of_requests(Exhausted::Watches, shares.watches),
            in_flight,
            open_rpcs,
            response_memory,
            waiting,
            limits: Arc::new(shares.response_limits()),
            max_connections: settings.max_connections,
            keys: Arc::new(keys),
            unread: UnreadResponses::default(),
            standing: Standing::default(),
            peer: None,
        }
    }

    /// Returns the same capacities for another connection.
    #[must_use]
    pub fn on_connection(&self) -> Self {
        Self {
            receiving: self.receiving.for_connection(),
            auxiliary: self.auxiliary.for_connection(),
            metadata: self.metadata.for_connection(),
            watches: self.watches.for_connection(),
            in_flight: self.in_flight.for_connection(),
            open_rpcs: self.open_rpcs.for_connection(),
            response_memory: self.response_memory.for_connection(),
            waiting: self.waiting.for_connection(),
            limits: Arc::clone(&self.limits),
            max_connections: self.max_connections,
            keys: Arc::clone(&self.keys),
            unread: UnreadResponses::default(),
            standing: Standing::default(),
            peer: None,
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
        let reserved = large.map(|large| self.metadata.try_reserve_bytes(large));
        reserved.transpose().inspect_err(|_| self.standing.reject())
    }

    /// Returns an RPC whose message has been received within this reservation.
    #[must_use]
    pub fn received(&self, receiving: Reservation) -> ReceivedRpc<'_> {
        ReceivedRpc::new(self, receiving)
    }

    /// Reserves what it takes to receive an RPC's message.
    ///
    /// # Errors
    ///
    /// If too many are being received.
    pub fn try_receive(&self) -> Result<Reservation, Exhausted> {
        self.receiving.try_reserve()
    }

    /// Returns the maximum number of concurrent connections.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use tokio::time::Instant;

    use super::{
        super::{
            Client::{self, Connection, Key, UncheckedKey, UnconfirmedKey},
            KeyId, RpcReservation,
        },
        *,
    };

    const MIB: usize = 1 << 20;

    fn settings(response_memory: usize, max_connections: usize) -> Settings {
        Settings { response_memory, max_in_flight: 1024, max_connections }
    }

    #[test]
    fn responses_never_hold_more_than_their_memory() {
        for (memory, connections) in
            [(256 * MIB, 1024), (8 * MIB, 1024), (256 * MIB, 20_000), (MIB, 1)]
        {
            let Shares {
                response_memory,
                response_unit,
                response_turn,
                response_messages,
                ..
            } = settings(memory, connections).shares();
            let guaranteed = connections * response_memory.guaranteed;
            let units =
                response_memory.total + guaranteed + response_turn + response_messages;
            let most = units * response_unit;
            assert!(most <= memory, "{most} of {memory}");
            assert!(most > memory - response_unit, "{most} of {memory}");
            assert!(guaranteed * response_unit <= memory / 4, "{memory}");
        }
    }

    fn start(
        connection: &Capacities,
        client: Client,
    ) -> Result<RpcReservation, Exhausted> {
        connection.received(connection.try_receive()?).start(client)
    }

    #[test]
    fn every_connection_can_be_answered() {
        for number in [1, 2, usize::MAX] {
            let settings =
                Settings { max_in_flight: number, ..settings(number.max(MIB), number) };
            for client in [Connection, Key(KeyId(1)), UnconfirmedKey(KeyId(1))] {
                let connection = Capacities::new(&settings).on_connection();
                assert!(start(&connection, client).is_ok(), "{number}, {client:?}");
            }
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
    fn reflection_works_while_others_hold_much_metadata() {
        let all = Capacities::new(&settings(MIB, 1024));
        let hold = || {
            let busy = all.on_connection();
            (0..)
                .map_while(|_| busy.try_reserve_metadata(2 * REQUEST_UNIT).ok())
                .collect()
        };
        // Each holds half of what is free outside the reserve.
        let clients: Vec<Vec<_>> = (0..8).map(|_| hold()).collect();
        assert!(clients.iter().all(|held| held.len() >= 7));
        let fields_and_trailers = (2 + 60) << 10;
        assert!(all.on_connection().try_reserve_metadata(fields_and_trailers).is_ok());
    }

    #[test]
    fn key_has_its_share_over_all_its_connections() {
        let settings = settings(256 * MIB, 1024);
        let shares = settings.shares();
        for (client, share) in [
            (Key as fn(KeyId) -> Client, shares.in_flight),
            (UnconfirmedKey, shares.unconfirmed),
            (UncheckedKey, shares.unconfirmed),
        ] {
            let all = Capacities::new(&settings);
            let start = |id| start(&all.on_connection(), client(KeyId(id)));
            let held: Vec<_> = (0..2048).map_while(|_| start(1).ok()).collect();
            assert_eq!(held.len(), share.limit(0));
            let rejected = start(1).unwrap_err();
            assert_eq!(rejected, Exhausted::InFlightOfKey { held: held.len() });
            assert!(start(2).is_ok());
        }
    }

    #[test]
    fn keys_on_one_connection_have_shares_of_their_own() {
        let settings = settings(256 * MIB, 1024);
        for confirmed in [true, false] {
            let connection = Capacities::new(&settings).on_connection();
            let start = |id| {
                let client = if confirmed { Key } else { UnconfirmedKey };
                start(&connection, client(KeyId(id)))
            };
            let _greedy: Vec<_> = (0..2048).map_while(|_| start(0).ok()).collect();
            let others = (1..=10).map(start);
            let others: Result<Vec<_>, _> = others.collect();
            assert!(others.is_ok(), "confirmed: {confirmed}, {others:?}");
        }
    }

    #[test]
    fn unconfirmed_keys_get_no_more_than_their_connection() {
        let settings = settings(256 * MIB, 1024);
        let all = Capacities::new(&settings);
        let connection = all.on_connection();
        let held: Vec<_> = (0..2048)
            .filter_map(|id| start(&connection, UnconfirmedKey(KeyId(id))).ok())
            .collect();
        assert_eq!(held.len(), settings.shares().in_flight.limit(0));
        assert!(start(&all.on_connection(), UnconfirmedKey(KeyId(2048))).is_ok());
    }

    #[test]
    fn connection_keeps_what_is_guaranteed_to_it_if_its_key_holds_its_share() {
        let settings = Settings { max_in_flight: usize::MAX / 8, ..settings(MIB, 16) };
        let all = Capacities::new(&settings);
        let greedy = all.on_connection();
        let held: Vec<_> =
            (0..2048).map_while(|_| start(&greedy, Key(KeyId(1))).ok()).collect();
        assert!(held.len() < 2048);
        let another = start(&all.on_connection(), Key(KeyId(1))).unwrap();
        let larger = another.response.try_grow_to(all.limits.initial + 1);
        assert!(matches!(larger, Err(Exhausted::ResponseMemoryOfKey { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn response_of_the_largest_size_is_received() {
        for settings in [settings(8 * MIB, 1024), settings(256 * MIB, 1)] {
            let largest = settings.largest_response();
            let needed = 2 * largest;
            let all = Capacities::new(&settings);
            let later = Instant::now() + Duration::from_secs(1);
            let rpc = start(&all, Connection).unwrap();
            rpc.response.grow_to(needed, later).await.unwrap();
            drop(rpc);
            let rpc = start(&all, Connection).unwrap();
            let beyond = rpc.response.largest() + settings.response_memory;
            let larger = rpc.response.grow_to(beyond, later).await;
            assert!(matches!(larger, Err(Exhausted::TooLarge { .. })), "{larger:?}");
            // An eighth of the memory, as --help says.
            assert!(largest >= settings.response_memory / 8);
        }
    }
}
