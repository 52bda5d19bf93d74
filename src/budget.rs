//! How much of the gateway's memory and how many of its slots one client may hold.
//!
//! Without limits, one client could fill the gateway with requests that it never
//! completes or responses that it never reads. So each kind of thing that clients
//! make the gateway hold has a [`SharedCapacity`], counted in units. An RPC holds a
//! [`Reservation`] for as long as it holds the thing, and fails with [`Exhausted`]
//! where it gets none.
//!
//! # How much may one client hold?
//!
//! One formula decides, [`FairShare::limit`]. While all other clients together hold
//! `others` units, a client may hold up to
//!
//! ```text
//!             ⎧ (total - reserved - others) / 2
//! limit = max ⎨ min(floor, total - others)
//!             ⎩ guaranteed
//! ```
//!
//! * The first line: outside the reserve, a client leaves as many units free as it
//!   holds. Alone it may hold half of them, and less the more the others hold.
//! * The second line: a busy capacity leaves each client its `floor`, for which
//!   `reserved` units are kept, until the total is in use.
//! * The third line: `guaranteed` units are a client's even beyond the total. All
//!   clients together hold up to `total + clients × guaranteed`.
//!
//! A limit that falls takes nothing back: the client gets no more until it holds less
//! than its limit.
//!
//! # Example
//!
//! `--max-in-flight 1024` has 1,024 units, of which 128 are reserved; the floor is 4,
//! and nothing is guaranteed. Clients take all they may, one after the other:
//!
//! | client | others hold | it may hold |
//! |---|---|---|
//! | 1 | 0 | (1024 - 128 - 0) / 2 = 448 |
//! | 2 | 448 | (1024 - 128 - 448) / 2 = 224 |
//! | 3 to 7 | 672 to 882 | 112, 56, 28, 14, 7 |
//! | 8 to 40 | 889 to 1017 | the floor, 4 |
//! | 41 | 1021 | 1024 - 1021 = 3 |
//! | 42 and later | 1024 | 0: `RESOURCE_EXHAUSTED` |
//!
//! The numbers of each capacity, with their reasons, are in [`Settings::shares`]. What
//! an RPC's response holds is its [`ResponseMemory`].
//!
//! # What is a client?
//!
//! It depends on what the gateway knows ([`SharedCapacity::for_connection`],
//! [`SharedCapacity::for_key`]). Behind a mesh, a small number of connections carries
//! the RPCs of all tenants, and one tenant may use many connections.
//!
//! | what is known | the client is |
//! |---|---|
//! | nothing yet: the request arrives, its key is being looked up | the connection, of the capacity `receiving` |
//! | a key that Polytomic has confirmed (`GET /api/me`) | the key, over all its connections |
//! | a key that Polytomic has not confirmed, or with `--no-key-check` | the connection, and the key has a smaller share in addition |
//! | static mode, an identity: all use the gateway's own key | the identity, over all its connections |
//! | static mode, no identity | the connection |
//!
//! * An RPC is in flight from when its client is known ([`ReceivedRpc::start`]). Keys that
//!   share a connection share its 100 streams, what is guaranteed to it, and the
//!   capacities `receiving`, `metadata`, `auxiliary` and `watches`; confirmed keys no more.
//! * Nothing is guaranteed to a key, because keys have no maximum number. What is
//!   guaranteed to a connection also serves an RPC whose key holds its share. A response
//!   that outgrows it counts for the key.
//! * A client can make up as many keys as it likes. Polytomic does not confirm them, so
//!   they stay within the share of their connection. They also have one of their own, of
//!   the capacity `unconfirmed`: a quarter of `--max-in-flight` for a key that is alone,
//!   on whatever number of connections. That leaves room for the other keys of a
//!   connection while Polytomic confirms none. Responses of such keys count for the
//!   connection only.
//! * A client with several keys that Polytomic has confirmed is several clients.
//!   Polytomic's users issue those, so their number is small.
//!
//! An example: the first client of the table above is a key with RPCs on 60 connections.
//! It holds 448 of 1,024, not more. Ten other keys get 224, 112, 56, 28, 14, 7 and four
//! times 4 if they take all they may, on connections of their own or on those 60.

mod capacities;
mod capacity;
mod exhausted;
mod fair_share;
mod keys;
mod metrics;
mod rejected;
mod response;
mod rpc;
mod shares;
mod standing;
mod unread;
mod usage;
mod waiting;

pub use self::{
    capacities::Capacities,
    capacity::{Reservation, SharedCapacity},
    exhausted::Exhausted,
    fair_share::FairShare,
    keys::KeyId,
    rejected::{ExpectedResponse, RejectedResponses, Reserve},
    response::ResponseMemory,
    rpc::{Client, ReceivedRpc, RpcReservation},
    shares::{REQUEST_UNIT, Settings, Shares},
    standing::Standing,
    unread::UnreadResponses,
    usage::Usage,
};
pub(crate) use self::{
    response::wait_until,
    unread::{UnreadData, UnreadStream},
};
