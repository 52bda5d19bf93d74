//! The flags that bound what clients can make the gateway hold.

use clap::Args;

use super::{
    Error,
    parse::{number, size},
};
use crate::budget::Settings;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct BudgetFlags {
    /// Maximum concurrent RPCs; others fail immediately with RESOURCE_EXHAUSTED. One
    /// client (a key, or in static mode an identity or a connection) gets up to 7/16 of
    /// them, a key that is not confirmed a quarter, fewer while others are busy, but 4 if
    /// free. A connection has at most 100 streams
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_IN_FLIGHT",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = number
    )]
    max_in_flight: usize,

    /// Maximum memory for responses being received or not yet read by clients; those
    /// beyond wait, then fail with RESOURCE_EXHAUSTED. 8 times --answer-limit is enough
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ANSWER_MEMORY",
        value_name = "SIZE",
        default_value = "256MiB",
        value_parser = size
    )]
    answer_memory: usize,

    /// Maximum concurrent connections. At the maximum, a new connection ends the oldest
    /// without an RPC of a known client, then the one idle longest, for 5 seconds or more.
    /// If there is none, the new one is closed
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = number
    )]
    max_connections: usize,
}

impl BudgetFlags {
    /// Returns the budget, if the largest response that Polytomic may send fits.
    pub(super) fn settings(&self, answer_limit: usize) -> Result<Settings, Error> {
        let settings = Settings {
            response_memory: self.answer_memory,
            max_in_flight: self.max_in_flight,
            max_connections: self.max_connections,
        };
        let largest = settings.largest_response();
        if largest < answer_limit {
            return Err(Error::new(format!(
                "--answer-memory allows responses of {largest} bytes, less than \
                 --answer-limit; raise the first or lower the second"
            )));
        }
        Ok(settings)
    }
}
