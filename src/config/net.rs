//! The flags of connections and of the shutdown.

use std::time::Duration;

use clap::Args;

use super::parse::{number_or_zero, some_time, time};
use crate::net::Settings;

/// The lame duck of a gateway on Polytomic: Kubernetes and its proxies take a few
/// seconds to notice that an instance stops.
const LAME_DUCK: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub(super) struct NetFlags {
    /// Time (up to twice that) a response may stay unread before its connection gets
    /// GOAWAY. The connection closes within the longer of this and
    /// --max-connection-age-grace
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_WRITE_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = some_time
    )]
    write_timeout: Duration,

    /// Time to keep serving after SIGTERM or SIGINT with health NOT_SERVING, so
    /// that load balancers stop sending RPCs. Default:
    #[cfg_attr(feature = "sandbox", doc = "5s, with --sandbox 0")]
    #[cfg_attr(not(feature = "sandbox"), doc = "5s")]
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LAME_DUCK",
        value_name = "DURATION",
        value_parser = time
    )]
    lame_duck: Option<Duration>,

    /// Maximum time for in-flight RPCs after --lame-duck; then connections close
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_DRAIN_LIMIT",
        value_name = "DURATION",
        default_value = "20s",
        value_parser = time
    )]
    drain_limit: Duration,

    /// Time (+/-10%) until a connection gets GOAWAY, so that clients spread over
    /// instances. 0: never
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_AGE",
        value_name = "DURATION",
        default_value = "30m",
        value_parser = time
    )]
    max_connection_age: Duration,

    /// Maximum time for in-flight RPCs after GOAWAY for age or idleness; then the
    /// connection closes. 0: no limit
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_AGE_GRACE",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = time
    )]
    max_connection_age_grace: Duration,

    /// Time (up to twice that) without a stream until a connection gets GOAWAY. 0:
    /// never. Before its first stream at most 30 s
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_IDLE",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = time
    )]
    max_connection_idle: Duration,

    /// Maximum concurrent connections of one address; others are closed immediately. 0:
    /// no limit, since all connections through a proxy have one address
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "NUMBER",
        default_value = "0",
        value_parser = number_or_zero
    )]
    max_connections_per_address: usize,

    /// Maximum time for a new connection to send the HTTP/2 preface, TLS included, before
    /// it is closed
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = some_time
    )]
    handshake_timeout: Duration,
}

impl NetFlags {
    /// Returns the time of the lame duck. No load balancer knows a gateway on the
    /// sandbox, so its default has none.
    pub(super) fn lame_duck(&self, sandbox: bool) -> Duration {
        self.lame_duck.unwrap_or(if sandbox { Duration::ZERO } else { LAME_DUCK })
    }

    /// Returns the settings of the server.
    pub(super) fn settings(&self, sandbox: bool) -> Settings {
        Settings {
            lame_duck: self.lame_duck(sandbox),
            drain_limit: self.drain_limit,
            max_connection_age: self.max_connection_age,
            max_connection_age_grace: self.max_connection_age_grace,
            max_connection_idle: self.max_connection_idle,
            handshake_timeout: self.handshake_timeout,
            max_connections_per_address: self.max_connections_per_address,
            write_timeout: self.write_timeout,
        }
    }
}
