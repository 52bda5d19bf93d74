//! Every setting: its flag, its variable, its default and its meaning.
//!
//! The comments on the fields are the text of `--help`.

mod parse;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, PossibleValuesParser},
};
use secrecy::SecretString;

use self::parse::{
    address, answer_bytes, bytes, number, rpc_timeout, seconds, some_seconds,
};
use crate::{contract::API_VERSIONS, telemetry::Format};

/// The place in `--help` of flags that all commands have: after their own.
const LAST: usize = 900;

/// A gRPC gateway to Polytomic's partner API.
#[derive(Debug, Parser)]
#[command(name = "polytomic-gateway", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What to log: error, warn, info, debug or trace, or a list such as
    /// `info,hyper=debug`. The default is info, for the demo warn
    #[arg(
        long,
        global = true,
        env = "POLYTOMIC_GATEWAY_LOG",
        value_name = "FILTER",
        display_order = LAST
    )]
    pub log: Option<String>,

    /// How to write a log line
    #[arg(
        long,
        global = true,
        env = "POLYTOMIC_GATEWAY_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Text,
        display_order = LAST
    )]
    pub log_format: Format,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the gateway
    Serve(Box<Serve>),
    /// Serve an embedded Polytomic, to try things on
    Sandbox(Sandbox),
    /// Show the gateway at work: list, share, list again, on an embedded Polytomic
    Demo,
}

/// Settings of the sandbox.
#[derive(Debug, Clone, Args)]
pub struct Sandbox {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_parser = address
    )]
    pub listen: SocketAddr,
}

/// Settings of the gateway.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        value_parser = address
    )]
    pub listen: SocketAddr,

    /// The URL of Polytomic. The default is `https://app.polytomic.com`
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_UPSTREAM_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub upstream_url: Option<String>,

    /// Serve from an embedded Polytomic instead, with data to try things on
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_SANDBOX",
        value_parser = BoolishValueParser::new()
    )]
    pub sandbox: bool,

    /// Allow an `http://` URL to another host, which sends keys unencrypted
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ALLOW_PLAINTEXT_UPSTREAM",
        value_parser = BoolishValueParser::new()
    )]
    pub allow_plaintext_upstream: bool,

    /// Certificate authorities to trust beside the system's: a file in PEM
    #[arg(long, env = "POLYTOMIC_GATEWAY_UPSTREAM_CA_FILE", value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,

    /// The version of Polytomic's API, unless a caller asks for another
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_API_VERSION",
        value_name = "VERSION",
        default_value = API_VERSIONS[0],
        value_parser = PossibleValuesParser::new(API_VERSIONS)
    )]
    pub api_version: String,

    /// The most seconds an RPC may take, and takes if its caller sets no deadline
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_TIMEOUT",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = some_seconds
    )]
    pub timeout: Duration,

    /// The --timeout of one RPC, by its name or as `package.Service/Rpc`; once for
    /// each such RPC, in the variable with commas between
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_RPC_TIMEOUT",
        value_name = "RPC=SECONDS",
        value_delimiter = ',',
        value_parser = rpc_timeout
    )]
    pub rpc_timeout: Vec<RpcTimeout>,

    /// The seconds after which an attempt is given up for another, if there is as
    /// much time again
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ATTEMPT_TIMEOUT",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = some_seconds
    )]
    pub attempt_timeout: Duration,

    /// The most seconds it may take to connect to Polytomic
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_CONNECT_TIMEOUT",
        value_name = "SECONDS",
        default_value = "5",
        value_parser = some_seconds
    )]
    pub connect_timeout: Duration,

    /// The most seconds that Polytomic may be silent within an answer
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_READ_TIMEOUT",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = some_seconds
    )]
    pub read_timeout: Duration,

    /// The most attempts an RPC takes, if one fails in a way that a repeat may
    /// mend. A create is repeated with the same idempotency key
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ATTEMPTS",
        value_name = "NUMBER",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=10)
    )]
    pub attempts: u32,

    /// The most RPCs under way at a time; one more is refused at once. At a tenth
    /// of a second each, the default is ten thousand a second. A connection may
    /// have as many as it leaves free, and a few in any case
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_IN_FLIGHT",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = number
    )]
    pub max_in_flight: usize,

    /// The most bytes an answer of Polytomic may have
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ANSWER_LIMIT",
        value_name = "BYTES",
        default_value_t = 32 * 1024 * 1024,
        value_parser = answer_bytes
    )]
    pub answer_limit: usize,

    /// The most bytes of memory for the answers that are under way or that callers
    /// have not taken yet. Eight times the limit of one are always enough
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ANSWER_MEMORY",
        value_name = "BYTES",
        default_value_t = 256 * 1024 * 1024,
        value_parser = bytes
    )]
    pub answer_memory: usize,

    /// The seconds, up to twice as many, that a caller may take to take an answer;
    /// then its connection is ended, as one that is too old
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_WRITE_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60",
        value_parser = some_seconds
    )]
    pub write_timeout: Duration,

    /// The seconds for which a stopping gateway serves on while it tells the health
    /// checks that it stops, so that balancers take note. The default is 5, with
    /// --sandbox 0
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LAME_DUCK",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub lame_duck: Option<Duration>,

    /// The most seconds that RPCs in flight then get to end
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_DRAIN_LIMIT",
        value_name = "SECONDS",
        default_value = "20",
        value_parser = seconds
    )]
    pub drain_limit: Duration,

    /// The most connections at a time; those beyond are closed at once
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = number
    )]
    pub max_connections: usize,

    /// The seconds after which a connection is ended, give or take a tenth, so
    /// that callers spread over new gateways; 0 for never
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_AGE",
        value_name = "SECONDS",
        default_value = "1800",
        value_parser = seconds
    )]
    pub max_connection_age: Duration,

    /// The most seconds that RPCs in flight get on a connection that is ended; 0
    /// for no limit
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_AGE_GRACE",
        value_name = "SECONDS",
        default_value = "60",
        value_parser = seconds
    )]
    pub max_connection_age_grace: Duration,

    /// The seconds, up to twice as many, after which a connection without RPCs is
    /// ended; 0 for never
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_MAX_CONNECTION_IDLE",
        value_name = "SECONDS",
        default_value = "300",
        value_parser = seconds
    )]
    pub max_connection_idle: Duration,

    /// The most seconds that a new connection may take to say it speaks HTTP/2
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_HANDSHAKE_TIMEOUT",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = some_seconds
    )]
    pub handshake_timeout: Duration,

    /// Whose key goes to Polytomic
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_AUTH_MODE",
        value_name = "MODE",
        value_enum,
        default_value_t = AuthMode::Passthrough
    )]
    pub auth_mode: AuthMode,

    /// Static mode: the file with the partner key, read again when it changes
    #[arg(long, env = "POLYTOMIC_GATEWAY_PARTNER_KEY_FILE", value_name = "FILE")]
    pub partner_key_file: Option<PathBuf>,

    /// Static mode: the partner key itself. No flag, so that it shows in no list
    /// of processes
    #[arg(skip)]
    pub partner_key: Option<SecretString>,

    /// Static mode: the file with the token that every caller must send as
    /// `authorization: Bearer <token>`
    #[arg(long, env = "POLYTOMIC_GATEWAY_CALLER_TOKEN_FILE", value_name = "FILE")]
    pub caller_token_file: Option<PathBuf>,

    /// Do not ask Polytomic who holds a key (`GET /api/me`) before its first use
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_NO_KEY_CHECK",
        value_parser = BoolishValueParser::new()
    )]
    pub no_key_check: bool,
}

/// How long one RPC may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcTimeout {
    /// The name of the RPC, as it was given.
    pub rpc: String,
    /// The most that it may take.
    pub timeout: Duration,
}

/// Whose key goes to Polytomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// The caller's, from its `authorization` metadata
    Passthrough,
    /// The gateway's own, for every caller
    Static,
}

#[cfg(test)]
mod tests;
