//! The capacities of the gateway, each for one connection and for all.

use std::sync::Arc;

use super::{
    Exhausted, ReceivedRpc, Reservation, SharedCapacity, Standing, UnreadResponses,
    keys::{Key, Keys},
    response::ResponseLimits,
    shares::{REQUEST_UNIT, Settings},
};
use crate::peer::Peer;

/// The capacities of the gateway, as one connection sees them.
#[derive(Debug, Clone)]
pub struct Capacities {
    pub(super) receiving: SharedCapacity,
    pub(crate) auxiliary: SharedCapacity,
    pub(super) metadata: SharedCapacity,
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

    /// Returns the memory for what this connection has written and its socket has not, in
    /// addition to what the connection may hold for responses. None is guaranteed, so that
    /// a peer which does not read takes no memory that others are guaranteed.
    pub(crate) fn write_memory(&self) -> SharedCapacity {
        self.response_memory.for_key()
    }

    /// Returns the maximum number of concurrent connections.
    #[must_use]
    pub fn max_connections(&self) -> usize {
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
