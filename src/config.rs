//! Every setting: its flag, its variable, its default and its meaning.
//!
//! Each room with settings has a file of flags here, which also turns them into the
//! room's `Settings` and checks them. So a new flag touches that file and the room.
//! The comments on the flags are the text of `--help`.

#![allow(
    clippy::doc_markdown,
    reason = "terminals show the comments on flags as they are"
)]

mod auth;
mod budget;
mod environment;
mod gateway;
mod net;
mod parse;
mod tls;
mod upstream;

use std::{ffi::OsString, fmt, net::SocketAddr};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use tracing::warn;

use self::parse::address;
use crate::{contract::Contract, telemetry::Format, tls::ServerFiles, upstream::BaseUrl};

/// The place in `--help` of flags that all commands have: after their own.
const LAST: usize = 900;

/// A gRPC gateway to Polytomic's partner API.
#[derive(Debug, Parser)]
#[command(name = "polytomic-gateway", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Log level (error, warn, info, debug or trace) or filter, such as
    /// `info,hyper=debug`. Default: info, for the demo warn
    #[arg(
        long,
        global = true,
        env = "POLYTOMIC_GATEWAY_LOG",
        value_name = "FILTER",
        display_order = LAST
    )]
    pub log: Option<String>,

    /// Format of a log line
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
    /// Serve the embedded simulator of Polytomic
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Show the gateway at work on the simulator: list, share, list again
    #[cfg(feature = "sandbox")]
    Demo,
}

/// The flags of the sandbox.
#[cfg(feature = "sandbox")]
#[derive(Debug, Clone, Args)]
pub struct Sandbox {
    /// Address to listen on; port 0 takes a free port
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_parser = address
    )]
    pub listen: SocketAddr,
}

/// The flags of the gateway, each valid by itself.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free port
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        value_parser = address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    upstream: upstream::UpstreamFlags,

    #[command(flatten)]
    gateway: gateway::GatewayFlags,

    #[command(flatten)]
    budget: budget::BudgetFlags,

    #[command(flatten)]
    net: net::NetFlags,

    #[command(flatten)]
    tls: tls::TlsFlags,

    #[command(flatten)]
    auth: auth::AuthFlags,
}

/// The settings of a gateway, valid together.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where RPCs go.
    pub target: Target,
    /// The settings of the client of Polytomic.
    pub upstream: crate::upstream::Settings,
    /// The settings of RPCs.
    pub gateway: crate::gateway::Settings,
    /// What clients can make the gateway hold.
    pub budget: crate::budget::Settings,
    /// The settings of connections.
    pub net: crate::net::Settings,
    /// The files of TLS on the listener; without them it speaks plaintext.
    pub tls: Option<ServerFiles>,
    /// The settings of credentials.
    pub auth: crate::auth::Settings,
}

/// Where RPCs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The Polytomic at a URL.
    Url(BaseUrl),
    /// An embedded simulator.
    #[cfg(feature = "sandbox")]
    Sandbox,
}

/// A problem with the settings, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Cli {
    /// Reads the command line and the variables of the process.
    ///
    /// # Errors
    ///
    /// If the text of a flag or variable is not valid, or asks for help.
    pub fn from_process() -> Result<Self, clap::Error> {
        let mut cli = Self::from_arguments(environment::arguments())?;
        match &mut cli.command {
            Command::Serve(flags) => {
                let invalid =
                    |problem| Self::command().error(ErrorKind::InvalidUtf8, problem);
                flags.auth.partner_key = environment::partner_key().map_err(invalid)?;
            }
            #[cfg(feature = "sandbox")]
            Command::Sandbox(_) | Command::Demo => {}
        }
        Ok(cli)
    }

    /// Reads a command line, the program's name included, and the variables of flags.
    ///
    /// # Errors
    ///
    /// As [`Self::from_process`].
    pub fn from_arguments<A>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, clap::Error>
    where
        A: Into<OsString> + Clone,
    {
        let command = environment::without_empty_variables(Self::command());
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }
}

impl Serve {
    /// Checks the flags together, and against the contract.
    ///
    /// # Errors
    ///
    /// Says which flags are wrong and what would be right.
    pub fn settings(&self, contract: &Contract) -> Result<Settings, Error> {
        let target = self.upstream.target()?;
        let tls = self.tls.files()?;
        self.warn_of_risks(&target, tls.is_some());
        let requires_identity = tls.as_ref().is_some_and(ServerFiles::requires_identity);
        let upstream = target.to_string();
        Ok(Settings {
            listen: self.listen,
            upstream: self.upstream.settings()?,
            gateway: self.gateway.settings(contract)?,
            budget: self.budget.settings(self.upstream.answer_limit)?,
            net: self.net.settings(self.upstream.sandbox),
            auth: self.auth.settings(
                self.listen,
                requires_identity,
                upstream,
                &self.gateway.api_version,
            )?,
            tls,
            target,
        })
    }

    /// Logs what is allowed but rarely meant.
    fn warn_of_risks(&self, target: &Target, is_encrypted: bool) {
        match target {
            Target::Url(_) => environment::warn_of_proxies(),
            #[cfg(feature = "sandbox")]
            Target::Sandbox => {}
        }
        // An IPv4 loopback address may be written as an IPv6 one.
        if self.listen.ip().to_canonical().is_loopback() {
            return;
        }
        match target {
            Target::Url(_) if self.auth.is_passthrough() && !is_encrypted => warn!(
                address = %self.listen,
                "clients send keys unencrypted to this address; set \
                 --tls-certificate-file, let a proxy or mesh encrypt the connections, or \
                 listen on loopback"
            ),
            Target::Url(_) => {}
            #[cfg(feature = "sandbox")]
            Target::Sandbox => warn!(
                address = %self.listen,
                "the sandbox is open to other hosts; its keys are public"
            ),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            #[cfg(feature = "sandbox")]
            Self::Sandbox => f.write_str("the sandbox"),
        }
    }
}

impl Error {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

#[cfg(test)]
mod tests;
