//! The gateway from the outside: a real server on real sockets. Each test checks
//! both sides, the REST request and the gRPC outcome. One binary, so that it is
//! linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod bad_requests;
mod bad_responses;
mod blocked_log;
mod circuits;
mod command_line;
mod configuration;
mod connection_limit;
mod connections;
mod contract;
mod conventions;
mod credentials;
mod descriptors;
mod docs;
mod drain;
mod exactly_once;
mod fairness;
mod faults;
mod floods;
mod health;
mod key_look_ups;
mod large_responses;
mod log_schema;
mod metadata;
mod metrics;
mod outcomes;
mod panics;
mod protection;
mod reflection;
mod retries;
mod secrets;
mod slow_creates;
mod statuses;
mod streams;
mod tls;
mod unsent;
mod untaken;
mod upstream_connections;
mod wrong_protocol;
