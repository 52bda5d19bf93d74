//! The gateway from the outside: a real server, real sockets, and both sides
//! looked at: the REST call that Polytomic sees and the outcome that the
//! caller sees. One binary, so that it is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_answers;
mod bad_requests;
mod contract;
mod conventions;
mod exactly_once;
mod faults;
mod health_and_reflection;
mod metadata;
mod outcomes;
mod protection;
mod statuses;
mod support;
