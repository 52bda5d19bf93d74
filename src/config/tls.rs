//! The flags of TLS on the listener.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Error;
use crate::tls::{ClientAuth, KeyPair, PemFile, ServerFiles};

const CERTIFICATE: &str = "--tls-certificate-file";
const KEY: &str = "--tls-key-file";
const CLIENT_CA: &str = "--tls-client-ca-file";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS of clients")]
pub(super) struct TlsFlags {
    /// PEM file of the gateway's certificate, followed by its issuers. With it, the
    /// gateway speaks TLS 1.2 and 1.3 only, else plaintext. Read again when it changes
    #[arg(
        long = "tls-certificate-file",
        env = "POLYTOMIC_GATEWAY_TLS_CERTIFICATE_FILE",
        value_name = "FILE"
    )]
    certificate_file: Option<PathBuf>,

    /// PEM file of the key of --tls-certificate-file, unencrypted. Read again when it
    /// changes
    #[arg(
        long = "tls-key-file",
        env = "POLYTOMIC_GATEWAY_TLS_KEY_FILE",
        value_name = "FILE"
    )]
    key_file: Option<PathBuf>,

    /// PEM file of the CA certificates that issue client certificates. Read again when it
    /// changes
    #[arg(
        long = "tls-client-ca-file",
        env = "POLYTOMIC_GATEWAY_TLS_CLIENT_CA_FILE",
        value_name = "FILE"
    )]
    client_ca_file: Option<PathBuf>,

    /// Whether clients show a certificate of --tls-client-ca-file. Default: required with
    /// that file, else off
    #[arg(
        long = "tls-client-auth",
        env = "POLYTOMIC_GATEWAY_TLS_CLIENT_AUTH",
        value_name = "MODE",
        value_enum
    )]
    client_auth: Option<ClientAuthFlag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClientAuthFlag {
    /// The gateway does not ask for one
    Off,
    /// A client may; one that is not valid ends its connection
    Optional,
    /// Every client must
    Required,
}

impl TlsFlags {
    /// Returns whether clients show a certificate if the flag for that is not set.
    pub(super) fn default_client_auth(&self) -> &'static str {
        if self.client_ca_file.is_some() { "required" } else { "off" }
    }

    /// Returns the files of a listener that speaks TLS, or `None` for plaintext.
    pub(super) fn files(&self) -> Result<Option<ServerFiles>, Error> {
        let pair = key_pair(
            (CERTIFICATE, self.certificate_file.as_ref()),
            (KEY, self.key_file.as_ref()),
        )?;
        let client_ca = pem_file(CLIENT_CA, self.client_ca_file.as_ref());
        let client_auth = match (self.client_auth, &client_ca) {
            (Some(ClientAuthFlag::Off), _) | (None, None) => ClientAuth::Off,
            (Some(_), None) => {
                return Err(Error::new(format!(
                    "--tls-client-auth needs {CLIENT_CA}; set that too, or set off"
                )));
            }
            (Some(ClientAuthFlag::Optional), Some(_)) => ClientAuth::Optional,
            (Some(ClientAuthFlag::Required) | None, Some(_)) => ClientAuth::Required,
        };
        match pair {
            Some(pair) => Ok(Some(ServerFiles { pair, client_ca, client_auth })),
            None if client_ca.is_some() => Err(Error::new(format!(
                "{CLIENT_CA} needs {CERTIFICATE} and {KEY}; set those too, or remove it"
            ))),
            None => Ok(None),
        }
    }
}

/// Returns the files of a certificate and its key, which need each other.
pub(super) fn key_pair(
    certificate: (&'static str, Option<&PathBuf>),
    key: (&'static str, Option<&PathBuf>),
) -> Result<Option<KeyPair>, Error> {
    match (pem_file(certificate.0, certificate.1), pem_file(key.0, key.1)) {
        (Some(certificate), Some(key)) => Ok(Some(KeyPair { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(without(certificate.0, key.0)),
        (None, Some(_)) => Err(without(key.0, certificate.0)),
    }
}

/// Returns the file that a flag names, if it is set.
pub(super) fn pem_file(flag: &'static str, path: Option<&PathBuf>) -> Option<PemFile> {
    path.map(|path| PemFile { flag, path: path.clone() })
}

fn without(flag: &str, missing: &str) -> Error {
    Error::new(format!("{flag} needs {missing}; set both, or remove both"))
}
