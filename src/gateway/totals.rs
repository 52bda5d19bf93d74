//! What is counted of RPCs, for a person who looks.

use std::time::Duration;

/// What is counted of the RPCs of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcTotals {
    /// The name.
    pub rpc: String,
    /// How many have ended with each code, by its name in the log.
    pub codes: Vec<(String, u64)>,
    /// The time of all together.
    pub total: Duration,
    /// How many took up to a time, and longer than the one before. The last is
    /// [`Duration::MAX`].
    pub within: Vec<(Duration, u64)>,
}
