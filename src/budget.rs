//! How much of the gateway's memory and how many of its slots one client may hold.
//!
//! A server that holds whatever it is given can be filled by one peer. So each kind
//! of thing that clients make the gateway hold has a [`SharedCapacity`], from which
//! an RPC takes a [`Reservation`] for as long as it holds the thing.

mod capacities;
mod capacity;
mod error;
mod response;
mod unread;

pub use self::{
    capacities::{Capacities, Settings},
    capacity::{FairShare, Reservation, SharedCapacity},
    error::Exhausted,
    response::{ResponseMemory, Sizes},
    unread::UnreadResponses,
};
