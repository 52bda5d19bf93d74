//! What the integration tests and the load tests share: a gateway, a client, and
//! an upstream that records its requests.

#![allow(missing_docs, missing_debug_implementations, reason = "only tests use it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![allow(clippy::missing_errors_doc, reason = "the errors are those of sockets")]
#![allow(clippy::must_use_candidate, reason = "only tests use it")]
#![allow(clippy::return_self_not_must_use, reason = "only tests use it")]

pub mod caller;
pub mod concurrent;
pub mod connection;
pub mod credential_files;
pub mod draws;
pub mod fake;
pub mod frames;
pub mod front;
pub mod gateway;
pub mod held;
pub mod log;
pub mod metrics;
pub mod origin;
pub mod ports;
pub mod process;
pub mod protocol;
pub mod relay;
pub mod tls;
pub mod upstream;

use std::time::Duration;

use tokio::{task::yield_now, time::timeout};

pub use self::{
    caller::Caller,
    concurrent::Concurrent,
    credential_files::CredentialFiles,
    fake::Fake,
    gateway::{Gateway, settings},
    origin::Origin,
    protocol::{Protocol, over_both},
};

/// The address of this machine, as it stands in certificates.
pub const HOST: &str = "127.0.0.1";

/// A limit for work that should end by itself. Only a broken gateway reaches it, on a
/// busy machine too.
pub const HANG_GUARD: Duration = Duration::from_secs(120);

/// Waits until a condition holds.
pub async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(HANG_GUARD, holds).await.expect("the condition never holds");
}
