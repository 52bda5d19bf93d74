//! Every setting: its flag, its variable, its key in the file, its default and its meaning.
//!
//! Each room with settings has a file of flags here, which also turns them into the
//! room's `Settings` and checks them. So a new flag touches that file and the room.
//! The comments on the flags are the text of `--help`. All else is made from the flags:
//! the keys of the configuration file, its schema and its page.

#![allow(
    clippy::doc_markdown,
    reason = "terminals show the comments on flags as they are"
)]

mod admin;
mod auth;
mod budget;
mod cli;
mod declaration;
mod environment;
mod file;
mod gateway;
mod layers;
mod net;
mod parse;
pub mod print;
mod schema;
mod tls;
mod upstream;

use std::{fmt, net::SocketAddr, path::PathBuf};

use clap::Args;
use secrecy::SecretString;
use tracing::warn;

#[cfg(feature = "sandbox")]
pub use self::cli::Sandbox;
use self::parse::address;
pub use self::{
    admin::HealthCheck,
    cli::{Cli, Command, ConfigCommand, Print, declarations},
    declaration::{Declaration, Kind},
    file::Place,
    layers::{Setting, Source},
    schema::schema,
};
use crate::{contract::Contract, tls::ServerFiles, upstream::BaseUrl};

/// The flags of the gateway, each valid by itself.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// TOML file with settings, which flags and variables override
    // The layers below the flags read it.
    #[arg(long, env = "POLYTOMIC_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address to listen on; port 0 takes a free port
    #[arg(
        long,
        help_heading = "Connections",
        env = "POLYTOMIC_GATEWAY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        value_parser = address
    )]
    listen: SocketAddr,

    #[command(flatten)]
    admin: admin::AdminFlags,

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

    /// Each setting, with where it comes from.
    #[arg(skip)]
    in_effect: Vec<Setting>,
}

/// The settings of a gateway, valid together.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address of the admin listener, if there is to be one.
    pub admin: Option<SocketAddr>,
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

/// A value is not valid, or two are not valid together. Says what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Serve {
    /// Returns each setting, with where it comes from, and no secret. Of a command line that
    /// was not read by [`Cli`]'s functions, returns nothing.
    #[must_use]
    pub fn in_effect(&self) -> &[Setting] {
        &self.in_effect
    }

    /// Keeps the settings in effect, with the defaults that depend on other settings.
    fn set_in_effect(&mut self, mut settings: Vec<Setting>) {
        for Setting { name, value, .. } in &mut settings {
            *value = value.take().or_else(|| self.computed_default(name));
        }
        self.in_effect = settings;
    }

    fn computed_default(&self, name: &str) -> Option<String> {
        let sandbox = self.upstream.sandbox;
        match name {
            "admin-listen" => Some(match self.admin.listen(sandbox) {
                Some(address) => address.to_string(),
                None => "off".to_owned(),
            }),
            "lame-duck" => Some(format!("{}s", self.net.lame_duck(sandbox).as_secs())),
            "tls-client-auth" => Some(self.tls.default_client_auth().to_owned()),
            "upstream-url" if !sandbox => Some(upstream::POLYTOMIC.to_owned()),
            _ => None,
        }
    }

    /// Sets the partner key, which has a variable but no flag.
    fn set_partner_key(&mut self, key: Option<SecretString>) {
        if key.is_some() {
            self.in_effect.push(Setting {
                name: environment::PARTNER_KEY.to_owned(),
                value: Some("(not shown)".to_owned()),
                source: Source::Variable(environment::PARTNER_KEY.to_owned()),
            });
        }
        self.auth.partner_key = key;
    }

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
            admin: self.admin.listen(self.upstream.sandbox),
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
