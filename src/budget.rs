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
//! The formula does not decide that. [`SharedCapacity::for_client`] makes a client, and
//! the gateway calls it once per connection. Behind a mesh, a small number of connections
//! carries all RPCs, so that the formula is fair between proxies, not between tenants.

mod capacities;
mod capacity;
mod exhausted;
mod fair_share;
mod rejected;
mod response;
mod unread;

pub use self::{
    capacities::{Capacities, REQUEST_UNIT, Settings, Shares},
    capacity::{Reservation, SharedCapacity},
    exhausted::Exhausted,
    fair_share::FairShare,
    rejected::{ExpectedResponse, RejectedResponses},
    response::ResponseMemory,
    unread::UnreadResponses,
};
