//! What one RPC holds, from when its message has been received.

use std::sync::Arc;

use super::{
    Capacities, Exhausted, KeyId, Reservation, ResponseMemory, SharedCapacity, keys::Key,
};
use crate::peer::Peer;

/// An RPC whose message has been received, and whose key is not known yet. It counts for
/// its connection.
#[derive(Debug)]
pub struct ReceivedRpc<'a> {
    connection: &'a Capacities,
    receiving: Reservation,
}

/// What an RPC holds while it is in flight.
#[derive(Debug)]
pub struct RpcReservation {
    /// What its response holds until it is written.
    pub response: Arc<ResponseMemory>,
    _in_flight: Reservation,
    _unconfirmed: Option<(Reservation, Arc<Key>)>,
}

/// The client of an RPC, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Its connection: all clients use the gateway's own key.
    Connection,
    /// A key that Polytomic has confirmed, or the identity of a client certificate.
    Key(KeyId),
    /// A key that may be junk, of which a client can make as many as it likes.
    UnconfirmedKey(KeyId),
    /// A key where none is looked up: as above, but none is better than another.
    UncheckedKey(KeyId),
}

impl<'a> ReceivedRpc<'a> {
    pub(super) fn new(connection: &'a Capacities, receiving: Reservation) -> Self {
        Self { connection, receiving }
    }

    /// Returns the other side of the connection, if it is known.
    #[must_use]
    pub fn peer(&self) -> Option<&'a Arc<Peer>> {
        self.connection.peer.as_ref()
    }

    /// Reserves what the RPC needs, now that its client is known: a unit while it is in
    /// flight, and the memory of its response until that is read.
    ///
    /// # Errors
    ///
    /// Names the capacity that is in use.
    pub fn start(self, client: Client) -> Result<RpcReservation, Exhausted> {
        // Also if there is no room: the client may be one of many that are busy.
        let is_known = !matches!(client, Client::UnconfirmedKey(_));
        self.connection.standing.start(is_known);
        let Capacities { in_flight, open_rpcs, response_memory, waiting, limits, .. } =
            self.connection;
        let (of_key, unconfirmed) = match client {
            Client::Connection => (None, None),
            Client::Key(id) => (Some(self.connection.keys.get(id)), None),
            Client::UnconfirmedKey(id) | Client::UncheckedKey(id) => {
                let key = self.connection.keys.get(id);
                (None, Some((key.unconfirmed.try_reserve()?, key)))
            }
        };
        let reserve = |connection: &SharedCapacity,
                       of_key: Option<&SharedCapacity>,
                       bytes| {
            let Some(key) = of_key else { return connection.try_reserve_bytes(bytes) };
            key.try_reserve_bytes(bytes).or_else(|exhausted| {
                connection.try_reserve_guaranteed(bytes).ok_or(exhausted)
            })
        };
        let key = of_key.as_deref();
        let in_flight = reserve(in_flight, key.map(|key| &key.in_flight), 1)?;
        let open = reserve(open_rpcs, key.map(|key| &key.open_rpcs), 1)?;
        let bytes = reserve(
            response_memory,
            key.map(|key| &key.response_memory),
            limits.initial,
        )?;
        drop(self.receiving);
        Ok(RpcReservation {
            response: Arc::new(ResponseMemory::new(
                open,
                bytes,
                key.map_or(response_memory, |key| &key.response_memory).clone(),
                key.map_or(waiting, |key| &key.waiting).clone(),
                Arc::clone(limits),
                of_key,
            )),
            _in_flight: in_flight,
            _unconfirmed: unconfirmed,
        })
    }
}
