//! The flags of the way to Polytomic.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};

use super::{
    Error, Target,
    parse::{answer_size, some_time},
    tls::{key_pair, pem_file},
};
use crate::{
    tls::ClientFiles,
    upstream::{BaseUrl, Settings},
};

/// Where Polytomic serves everyone.
pub(super) const POLYTOMIC: &str = "https://app.polytomic.com";

/// Whether this program was built with the sandbox.
const HAS_SANDBOX: bool = cfg!(feature = "sandbox");

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Polytomic")]
pub(super) struct UpstreamFlags {
    /// URL of Polytomic. Default: `https://app.polytomic.com`
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_UPSTREAM_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    upstream_url: Option<String>,

    /// Use an embedded simulator with sample data instead of --upstream-url
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_SANDBOX",
        value_parser = BoolishValueParser::new(),
        hide = !HAS_SANDBOX
    )]
    pub(super) sandbox: bool,

    /// Allow an `http://` URL of another host; keys are then sent unencrypted
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ALLOW_PLAINTEXT_UPSTREAM",
        value_parser = BoolishValueParser::new()
    )]
    allow_plaintext_upstream: bool,

    /// PEM file of CA certificates trusted in addition to the system's. Read again when it
    /// changes
    #[arg(long, env = "POLYTOMIC_GATEWAY_UPSTREAM_CA_FILE", value_name = "FILE")]
    upstream_ca_file: Option<PathBuf>,

    /// PEM file of the certificate that Polytomic, or a proxy in front of it, sees if it
    /// asks for one, followed by its issuers. Read again when it changes
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_UPSTREAM_CERTIFICATE_FILE",
        value_name = "FILE"
    )]
    upstream_certificate_file: Option<PathBuf>,

    /// PEM file of the key of --upstream-certificate-file, unencrypted
    #[arg(long, env = "POLYTOMIC_GATEWAY_UPSTREAM_KEY_FILE", value_name = "FILE")]
    upstream_key_file: Option<PathBuf>,

    /// Maximum time to connect to Polytomic, TLS included
    // A connection that takes longer seldom comes, and another attempt may.
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = some_time
    )]
    connect_timeout: Duration,

    /// Maximum HTTP/2 connections to Polytomic. RPCs beyond their streams wait, then fail
    /// with UNAVAILABLE
    // Each usually has 100 streams or more, and --max-in-flight is 1,024.
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_UPSTREAM_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "16",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    upstream_connections: u16,

    /// Time (+/-10%) until a connection to Polytomic is replaced, so that a changed DNS
    /// answer is followed
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_UPSTREAM_CONNECTION_AGE",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = some_time
    )]
    upstream_connection_age: Duration,

    /// Maximum time per chunk of Polytomic's response body
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_READ_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = some_time
    )]
    read_timeout: Duration,

    /// Maximum size of a Polytomic response body, of a stream that of one element; larger
    /// ones fail with RESOURCE_EXHAUSTED
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ANSWER_LIMIT",
        value_name = "SIZE",
        default_value = "32MiB",
        value_parser = answer_size
    )]
    pub(super) answer_limit: usize,
}

impl UpstreamFlags {
    /// Returns where RPCs go.
    pub(super) fn target(&self) -> Result<Target, Error> {
        let target = if self.sandbox { self.sandbox()? } else { self.url()? };
        let is_https = matches!(&target, Target::Url(url) if url.is_https());
        for (flag, file) in [
            ("--upstream-ca-file", &self.upstream_ca_file),
            ("--upstream-certificate-file", &self.upstream_certificate_file),
            ("--upstream-key-file", &self.upstream_key_file),
        ] {
            if file.is_some() && !is_https {
                return Err(Error::new(format!(
                    "{flag} is for an https --upstream-url, which this is not; remove the \
                     file, or use https"
                )));
            }
        }
        Ok(target)
    }

    fn url(&self) -> Result<Target, Error> {
        let url = self.upstream_url.as_deref().unwrap_or(POLYTOMIC);
        let url: BaseUrl = url.parse().map_err(|problem| {
            Error::new(format!("--upstream-url is not valid: {problem}"))
        })?;
        if url.is_plaintext() && !self.allow_plaintext_upstream {
            return Err(Error::new(
                "--upstream-url is http, which would send keys unencrypted; use https, \
                 or set --allow-plaintext-upstream if a proxy encrypts the connection",
            ));
        }
        Ok(Target::Url(url))
    }

    #[cfg(feature = "sandbox")]
    fn sandbox(&self) -> Result<Target, Error> {
        if self.upstream_url.is_some() {
            return Err(Error::new(
                "both --sandbox and --upstream-url are set, by a flag, a variable or the \
                 file; remove one",
            ));
        }
        Ok(Target::Sandbox)
    }

    #[cfg(not(feature = "sandbox"))]
    #[expect(clippy::unused_self, reason = "with the sandbox it looks at the URL")]
    fn sandbox(&self) -> Result<Target, Error> {
        Err(Error::new(
            "this program was built without the sandbox; remove --sandbox or \
             POLYTOMIC_GATEWAY_SANDBOX, or build with the cargo feature `sandbox`",
        ))
    }

    /// Returns the settings of the client.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let pair = key_pair(
            ("--upstream-certificate-file", self.upstream_certificate_file.as_ref()),
            ("--upstream-key-file", self.upstream_key_file.as_ref()),
        )?;
        let ca = pem_file("--upstream-ca-file", self.upstream_ca_file.as_ref());
        Ok(Settings {
            answer_limit: self.answer_limit,
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            tls: ClientFiles { ca, pair },
            connections: self.upstream_connections.into(),
            connection_age: self.upstream_connection_age,
        })
    }
}
