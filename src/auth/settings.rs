//! What an operator can choose, and which choices are rejected at start-up.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::bearer;

/// How a client's metadata becomes upstream credentials.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose key goes upstream.
    pub mode: Mode,
    /// The base URL of Polytomic. It separates what is cached about a key at one
    /// Polytomic from what is cached at another.
    pub upstream: String,
    /// The Polytomic API version, for the same reason.
    pub api_version: String,
    /// Whether to look up the owner of a key with `GET /api/me`.
    pub verify: bool,
    /// The limit on these look-ups, over all keys that Polytomic has not confirmed, and
    /// again over those that it has. RPCs beyond it continue without.
    pub look_ups: Rate,
}

/// The most look-ups over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Maximum per second, on average.
    pub per_second: u32,
    /// Maximum together, after a time without.
    pub burst: u32,
}

/// Clients can make up any number of keys, and Polytomic may limit the requests of an
/// address. At this rate 1,200 keys in use stay verified, more than partners have; the
/// burst is for the start.
const LOOK_UPS: Rate = Rate { per_second: 20, burst: 50 };

/// Whose key goes upstream. The gateway never falls back from one mode to another.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The client's own, from its `authorization` metadata.
    Passthrough,
    /// The gateway's own, for every client.
    Static {
        /// Where the gateway's partner key comes from.
        key: KeySource,
        /// Which clients may use it.
        callers: Callers,
    },
}

/// Which clients may use the gateway's own key.
#[derive(Clone, Debug)]
pub enum Callers {
    /// All. The gateway then listens on loopback addresses only.
    Any,
    /// Those that send a token of this file as `authorization: Bearer <token>`.
    Token(PathBuf),
    /// Those that have shown a certificate of a trusted authority. The gateway ignores
    /// their `authorization`.
    Certificate,
}

/// Where the gateway's partner key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value given once, as `POLYTOMIC_PARTNER_KEY` is.
    Value(SecretString),
}

/// Settings that the gateway does not start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Anyone who can reach the address could use the gateway's partner key.
    #[error(
        "static mode on {0} lets any client use the partner key; set --caller-token-file, \
         require certificates of clients with --tls-client-ca-file, or listen on loopback"
    )]
    OpenToAll(SocketAddr),
    /// The partner key given as a value is malformed; the text does not show the key.
    #[error("the partner key given is not usable: {0}")]
    Key(&'static str),
}

impl Settings {
    /// Returns settings that look up the owner of each key.
    #[must_use]
    pub fn new(
        mode: Mode,
        upstream: impl Into<String>,
        api_version: impl Into<String>,
    ) -> Self {
        Self {
            mode,
            upstream: upstream.into(),
            api_version: api_version.into(),
            verify: true,
            look_ups: LOOK_UPS,
        }
    }

    /// Checks that a server on `listen` may start with these settings.
    ///
    /// # Errors
    ///
    /// States which setting is wrong and how to fix it.
    pub fn check(&self, listen: SocketAddr) -> Result<(), Error> {
        self.check_key()?;
        match self.mode {
            // An IPv4 loopback address may be written as an IPv6 one.
            Mode::Static { callers: Callers::Any, .. }
                if !listen.ip().to_canonical().is_loopback() =>
            {
                Err(Error::OpenToAll(listen))
            }
            Mode::Static { .. } | Mode::Passthrough => Ok(()),
        }
    }

    /// Checks the partner key if it is given as a value.
    pub(super) fn check_key(&self) -> Result<(), Error> {
        if let Mode::Static { key: KeySource::Value(key), .. } = &self.mode {
            bearer::token(key.expose_secret().trim().as_bytes()).map_err(Error::Key)?;
        }
        Ok(())
    }
}

impl Mode {
    /// Returns the name used in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Static { .. } => "static",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const CANARY: &str = "pk_live_canary";

    fn settings(callers: Callers) -> Settings {
        let key = KeySource::Value(CANARY.into());
        let mode = Mode::Static { key, callers };
        Settings::new(mode, "https://app.polytomic.com", "v")
    }

    #[test]
    fn static_mode_for_any_client_listens_on_loopback_only() {
        let open = settings(Callers::Any);
        let loopback = ["127.0.0.1:0", "127.8.8.8:1", "[::1]:9", "[::ffff:127.0.0.1]:9"];
        for listen in loopback {
            assert_eq!(open.check(listen.parse().unwrap()), Ok(()), "{listen}");
        }
        let token = settings(Callers::Token("/run/secrets/token".into()));
        let certificate = settings(Callers::Certificate);
        let passthrough = Settings::new(Mode::Passthrough, "u", "v");
        for listen in ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"]
        {
            let listen = listen.parse().unwrap();
            assert_eq!(open.check(listen), Err(Error::OpenToAll(listen)));
            assert_eq!(token.check(listen), Ok(()));
            assert_eq!(certificate.check(listen), Ok(()));
            assert_eq!(passthrough.check(listen), Ok(()));
        }
        let error = open.check("0.0.0.0:1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:1") && error.contains("--caller-token-file"));
        assert!(error.contains("--tls-client-ca-file"), "{error}");
    }

    #[test]
    fn malformed_partner_key_is_rejected_without_being_shown() {
        for key in
            ["", " \n", "pk_live_canary\nmore", "pk live_canary", "pk_live_canary\0"]
        {
            let key = KeySource::Value(key.into());
            let mode = Mode::Static { key, callers: Callers::Any };
            let error = Settings::new(mode, "u", "v").check_key().unwrap_err();
            assert!(matches!(error, Error::Key(_)));
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert!(!format!("{:?}", settings(Callers::Any)).contains(CANARY));
    }
}
