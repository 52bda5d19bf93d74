//! What a client is refused for want of capacity.

/// The gateway has no slot for an RPC, or no memory for its request or its expected
/// response: in total, or for the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is at its limit of concurrent RPCs or of memory")]
pub struct Exhausted;
