//! What the processes of the benchmark share. `docs/performance.md` says what they
//! measure, and how.

mod arguments;
pub mod json;
pub mod lean;
mod measure;
mod messages;
#[path = "../../benches/responses.rs"]
#[expect(clippy::unwrap_used, reason = "writing to a string does not fail")]
mod responses;
mod work;

/// The messages and the server trait generated from `proto/`.
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

pub use self::{
    arguments::Arguments,
    measure::{cpu_seconds, percentile},
    messages::{FRAME, Messages, frame, frame_header},
    work::{ParseWorkError, Work},
};

/// The error of a process of the benchmark.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
