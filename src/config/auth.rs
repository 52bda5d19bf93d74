//! The flags of credentials, and the partner key, which has a variable alone.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use secrecy::SecretString;
use tracing::warn;

use super::{Error, declaration::CREDENTIALS, environment::PARTNER_KEY};
use crate::auth::{Callers, KeySource, Mode, Settings};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = CREDENTIALS)]
pub(super) struct AuthFlags {
    /// Whose key is sent to Polytomic
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_AUTH_MODE",
        value_name = "MODE",
        value_enum,
        default_value_t = AuthMode::Passthrough
    )]
    auth_mode: AuthMode,

    /// Static mode: file with the partner key, read again when it changes
    #[arg(long, env = "POLYTOMIC_GATEWAY_PARTNER_KEY_FILE", value_name = "FILE")]
    partner_key_file: Option<PathBuf>,

    /// The partner key of the variable.
    #[arg(skip)]
    pub(super) partner_key: Option<SecretString>,

    /// Static mode: file with the token that every client must send as
    /// `authorization: Bearer <token>`, of at least 16 characters. During a rotation it
    /// may hold two, one a line; both are accepted. Not needed if --tls-client-auth is
    /// required
    #[arg(long, env = "POLYTOMIC_GATEWAY_CALLER_TOKEN_FILE", value_name = "FILE")]
    caller_token_file: Option<PathBuf>,

    /// Do not look up the owner of a key (`GET /api/me`), neither before its first use
    /// nor after a 401. No key then counts as rejected
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_NO_KEY_CHECK",
        value_parser = BoolishValueParser::new()
    )]
    no_key_check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AuthMode {
    /// The client's, from its `authorization` metadata
    Passthrough,
    /// The gateway's own, for every client
    Static,
}

impl AuthFlags {
    /// Reports whether clients send their own keys.
    pub(super) fn is_passthrough(&self) -> bool {
        self.auth_mode == AuthMode::Passthrough
    }

    /// Returns the settings of a gateway that listens on `listen`, if the flags of
    /// the mode, and no others, are set. `requires_identity` if every client has shown a
    /// certificate.
    pub(super) fn settings(
        &self,
        listen: SocketAddr,
        requires_identity: bool,
        upstream: String,
        api_version: &str,
    ) -> Result<Settings, Error> {
        let mode = match self.auth_mode {
            AuthMode::Passthrough => self.passthrough()?,
            AuthMode::Static => Mode::Static {
                key: self.key_source()?,
                callers: match &self.caller_token_file {
                    Some(file) => Callers::Token(file.clone()),
                    None if requires_identity => Callers::Certificate,
                    None => Callers::Any,
                },
            },
        };
        let mut settings = Settings::new(mode, upstream, api_version);
        settings.verify = !self.no_key_check;
        settings.check(listen).map_err(|error| Error::new(error.to_string()))?;
        Ok(settings)
    }

    fn passthrough(&self) -> Result<Mode, Error> {
        if self.partner_key_file.is_some() || self.caller_token_file.is_some() {
            return Err(Error::new(
                "--partner-key-file and --caller-token-file need --auth-mode static; set \
                 that too, or remove them",
            ));
        }
        if self.partner_key.is_some() {
            warn!("{PARTNER_KEY} is set but not used: --auth-mode is passthrough");
        }
        Ok(Mode::Passthrough)
    }

    fn key_source(&self) -> Result<KeySource, Error> {
        match (&self.partner_key_file, &self.partner_key) {
            (Some(file), None) => Ok(KeySource::File(file.clone())),
            (None, Some(key)) => Ok(KeySource::Value(key.clone())),
            (Some(_), Some(_)) => Err(Error::new(format!(
                "both --partner-key-file and {PARTNER_KEY} are set; remove one"
            ))),
            (None, None) => Err(Error::new(format!(
                "--auth-mode static needs a partner key; set --partner-key-file or \
                 {PARTNER_KEY}"
            ))),
        }
    }
}
