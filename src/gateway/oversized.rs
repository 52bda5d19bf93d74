//! Messages that a client with default settings rejects.
//!
//! The gateway cannot know the settings of a client, so it serves them. But the client's
//! error does not name the RPC that streams the same list, so the log does.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tracing::warn;

use crate::contract::{Contract, Rpc};

/// Maximum bytes of a message that clients receive by default, in each of gRPC's languages.
const DEFAULT_MAXIMUM: usize = 4 * 1024 * 1024;

/// Warns of oversized messages, once per RPC of the contract.
#[derive(Debug)]
pub(super) struct Oversized {
    /// By the index of an RPC.
    has_warned: Vec<AtomicBool>,
}

impl Oversized {
    pub(super) fn new(contract: &Contract) -> Self {
        Self { has_warned: contract.rpcs().map(|_| AtomicBool::new(false)).collect() }
    }

    /// Looks at the size of a message that is about to be sent.
    pub(super) fn check(&self, rpc: &Rpc, bytes: usize) {
        let Some(stream) = &rpc.stream else { return };
        if bytes <= DEFAULT_MAXIMUM || self.has_warned[rpc.index].swap(true, Relaxed) {
            return;
        }
        warn!(
            rpc = rpc.path(),
            bytes,
            stream = stream.as_str(),
            "message is larger than gRPC clients receive by default; stream it instead"
        );
    }
}
