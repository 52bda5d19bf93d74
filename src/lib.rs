//! A gRPC gateway to Polytomic's partner API.
//!
//! The `.proto` files are the program: at start-up they are compiled into a
//! table of RPCs, each with the REST call it stands for, and the gateway serves
//! that table. See `docs/ARCHITECTURE.md`.

pub mod admin;
pub mod app;
pub mod auth;
pub mod budget;
pub mod config;
pub mod contract;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod files;
pub mod gateway;
pub mod grpc;
pub mod net;
pub mod peer;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod status;
pub mod telemetry;
pub mod tls;
pub mod transcode;
pub mod upstream;

/// The messages and the client generated from `proto/`, for the demo and tests: the
/// gateway serves from descriptors.
#[cfg(feature = "sandbox")]
pub mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        rustdoc::bare_urls,
        unreachable_pub,
        reason = "generated code follows its own rules"
    )]
    tonic::include_proto!("polytomic.connections.v1");
}
