//! A gRPC gateway to Polytomic's partner API.
//!
//! The `.proto` files are the program: at start-up they are compiled into a
//! table of RPCs, each with the REST call it stands for, and the gateway serves
//! that table. See `docs/ARCHITECTURE.md`.

pub mod auth;

/// The messages and the client generated from `proto/`.
pub mod proto {
    #![allow(
        missing_docs,
        clippy::pedantic,
        unreachable_pub,
        reason = "generated code follows its own rules"
    )]
    tonic::include_proto!("polytomic.connections.v1");
}
