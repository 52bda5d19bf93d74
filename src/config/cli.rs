//! The command line: what the program can do, and the flags that are not a gateway's.

use std::ffi::OsString;
#[cfg(feature = "sandbox")]
use std::net::SocketAddr;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

#[cfg(feature = "sandbox")]
use super::parse::address;
use super::{
    HealthCheck, Serve,
    declaration::{self, Declaration},
    environment,
    layers::{self, Layered},
    parse::log_filter,
};
use crate::telemetry::Format;

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
    /// `info,hyper=debug`. Default: info, for the demo and for checks warn
    #[arg(
        long,
        global = true,
        env = "POLYTOMIC_GATEWAY_LOG",
        value_name = "FILTER",
        value_parser = log_filter,
        help_heading = "Log",
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
        help_heading = "Log",
        display_order = LAST
    )]
    pub log_format: Format,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the gateway
    Serve(Box<Serve>),
    /// Check the settings of `serve`, its files, the way to Polytomic and the partner key
    Check(Box<Serve>),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a gateway whether it should get RPCs: exit code 0 if so, else 1
    #[command(name = "healthcheck")]
    HealthCheck(Box<HealthCheck>),
    /// Serve the embedded simulator of Polytomic
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Show the gateway at work on the simulator: list, share, list again
    #[cfg(feature = "sandbox")]
    Demo,
}

/// What the program does with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings of `serve` with these flags, as a configuration file
    Print(Box<Print>),
    /// Print the JSON schema of the configuration file, for editors
    Schema,
}

/// The flags of `config print`: those of the gateway, and which settings to print.
#[derive(Debug, Clone, Args)]
pub struct Print {
    /// Print a file with each setting, its default and its meaning instead
    #[arg(long)]
    pub default: bool,

    /// The flags of the gateway.
    #[command(flatten)]
    pub serve: Serve,
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

impl Cli {
    /// Reads the command line, the variables of the process, and the configuration file.
    ///
    /// # Errors
    ///
    /// If the text of a setting is not valid, the file cannot be used, or the command
    /// line asks for help.
    pub fn from_process() -> Result<Self, clap::Error> {
        let mut cli = Self::from_arguments(environment::arguments())?;
        if let Some(flags) = cli.command.gateway() {
            let key = environment::partner_key().map_err(|problem| {
                Self::command().error(ErrorKind::InvalidUtf8, problem)
            })?;
            flags.set_partner_key(key);
        }
        Ok(cli)
    }

    /// Reads a command line, the program's name included, the variables of flags, and
    /// the configuration file.
    ///
    /// # Errors
    ///
    /// As [`Self::from_process`].
    pub fn from_arguments<A>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, clap::Error>
    where
        A: Into<OsString>,
    {
        let Layered { matches, settings } = layers::parse(Self::command(), arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let Some(flags) = cli.command.gateway() {
            flags.set_in_effect(settings);
        }
        Ok(cli)
    }
}

impl Command {
    /// Returns the flags of the gateway, if the command has them.
    fn gateway(&mut self) -> Option<&mut Serve> {
        match self {
            Self::Serve(flags) | Self::Check(flags) => Some(flags),
            Self::Config(ConfigCommand::Print(flags)) => Some(&mut flags.serve),
            Self::Config(ConfigCommand::Schema) | Self::HealthCheck(_) => None,
            #[cfg(feature = "sandbox")]
            Self::Sandbox(_) | Self::Demo => None,
        }
    }
}

/// Returns every setting that the configuration file may have.
#[must_use]
pub fn declarations() -> Vec<Declaration> {
    let command = layers::adapt(Cli::command());
    declaration::declarations(&layers::serve(&command))
}
