//! What an operator can choose, and which choices are refused before anything starts.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::bearer;

/// How callers' metadata becomes upstream credentials, and what is remembered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Whose key goes upstream.
    pub mode: Mode,
    /// The base URL of Polytomic. It keeps what is known about a key at one Polytomic
    /// from being used for another.
    pub upstream: String,
    /// The Polytomic API version, for the same reason.
    pub api_version: String,
    /// Whether to ask `GET /api/me` who holds a key.
    pub verify: bool,
    /// How long an identity is kept: 1 s to 15 min.
    pub positive_ttl: Duration,
    /// How long a 401 is kept: up to 30 s, zero not at all.
    pub negative_ttl: Duration,
    /// How many keys are remembered: at least 1.
    pub max_entries: u64,
    /// How long the identity is waited for before the RPC goes on without it: up to 5 s.
    pub lookup_timeout: Duration,
}

/// Whose key goes upstream. No mode ever stands in for another.
#[derive(Clone, Debug)]
pub enum Mode {
    /// The caller's own, from its `authorization` metadata.
    Passthrough,
    /// The gateway's own, for every caller.
    Static {
        /// Where the gateway's partner key comes from.
        key: KeySource,
        /// A file with a token that every caller must present as
        /// `authorization: Bearer <token>`. Without it callers' `authorization` is
        /// ignored, and only loopback addresses may be listened on.
        caller_token: Option<PathBuf>,
    },
}

/// Where the gateway's partner key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value given once, as `POLYTOMIC_PARTNER_KEY` is.
    Value(SecretString),
}

/// Settings that must not be started with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Anyone who can reach the address could use the gateway's partner key.
    #[error(
        "static mode lends the gateway's partner key to every caller, and {0} is not a \
         loopback address: give a caller token file, or listen on 127.0.0.1 or [::1]"
    )]
    OpenToAll(SocketAddr),
    /// A length of time is out of its range.
    #[error("{name} is {given:?}, but must be from {min:?} to {max:?}", min = .range.start(), max = .range.end())]
    Time {
        /// The name of the setting.
        name: &'static str,
        /// Its value.
        given: Duration,
        /// What it may be.
        range: RangeInclusive<Duration>,
    },
    /// A cache of no entries.
    #[error("max_entries is 0, but must be at least 1")]
    NoEntries,
    /// The partner key given as a value cannot be one; the key itself is not shown.
    #[error("the partner key given is not usable: {0}")]
    Key(&'static str),
}

impl Settings {
    /// Returns the defaults: identities for 60 s, refusals for 5 s, 10,000 keys, and 1 s
    /// for a look-up.
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
            positive_ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(5),
            max_entries: 10_000,
            // While `/api/me` hangs, every RPC with a new key waits this long.
            lookup_timeout: Duration::from_secs(1),
        }
    }

    /// Checks that a server on `listen` may start with these settings.
    ///
    /// # Errors
    ///
    /// Says which setting is wrong and what would be right.
    pub fn check(&self, listen: SocketAddr) -> Result<(), Error> {
        self.check_values()?;
        match self.mode {
            // An IPv4 loopback address may come written as an IPv6 one.
            Mode::Static { caller_token: None, .. }
                if !listen.ip().to_canonical().is_loopback() =>
            {
                Err(Error::OpenToAll(listen))
            }
            Mode::Static { .. } | Mode::Passthrough => Ok(()),
        }
    }

    /// Checks all that does not depend on the address.
    pub(super) fn check_values(&self) -> Result<(), Error> {
        const SECOND: Duration = Duration::from_secs(1);
        let times = [
            ("positive_ttl", self.positive_ttl, SECOND..=SECOND * 900),
            ("negative_ttl", self.negative_ttl, Duration::ZERO..=SECOND * 30),
            ("lookup_timeout", self.lookup_timeout, SECOND / 1_000..=SECOND * 5),
        ];
        for (name, given, range) in times {
            if !range.contains(&given) {
                return Err(Error::Time { name, given, range });
            }
        }
        if self.max_entries == 0 {
            return Err(Error::NoEntries);
        }
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

    fn settings(caller_token: Option<PathBuf>) -> Settings {
        let key = KeySource::Value(CANARY.into());
        Settings::new(
            Mode::Static { key, caller_token },
            "https://app.polytomic.com",
            "v",
        )
    }

    #[test]
    fn static_mode_without_caller_authentication_stays_on_loopback() {
        let open = settings(None);
        let loopback = ["127.0.0.1:0", "127.8.8.8:1", "[::1]:9", "[::ffff:127.0.0.1]:9"];
        for listen in loopback {
            assert_eq!(open.check(listen.parse().unwrap()), Ok(()), "{listen}");
        }
        let token = settings(Some("/run/secrets/token".into()));
        let passthrough = Settings::new(Mode::Passthrough, "u", "v");
        for listen in ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"]
        {
            let listen = listen.parse().unwrap();
            assert_eq!(open.check(listen), Err(Error::OpenToAll(listen)));
            assert_eq!(token.check(listen), Ok(()));
            assert_eq!(passthrough.check(listen), Ok(()));
        }
        let refusal = open.check("0.0.0.0:1".parse().unwrap()).unwrap_err().to_string();
        assert!(refusal.contains("0.0.0.0:1") && refusal.contains("caller token file"));
    }

    #[test]
    fn each_setting_has_its_range() {
        let check = |change: fn(&mut Settings)| {
            let mut settings = settings(None);
            change(&mut settings);
            settings.check_values().map_err(|error| error.to_string())
        };
        let secs = Duration::from_secs;
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|s| s.negative_ttl = Duration::ZERO), Ok(()));
        assert_eq!(check(|s| s.positive_ttl = Duration::from_secs(900)), Ok(()));
        assert_eq!(
            check(|s| s.positive_ttl = Duration::ZERO).unwrap_err(),
            "positive_ttl is 0ns, but must be from 1s to 900s"
        );
        assert!(check(|s| s.positive_ttl = Duration::from_secs(901)).is_err());
        assert!(check(|s| s.negative_ttl = Duration::from_secs(31)).is_err());
        assert!(check(|s| s.lookup_timeout = Duration::ZERO).is_err());
        assert!(check(|s| s.lookup_timeout = Duration::from_secs(6)).is_err());
        assert!(check(|s| s.max_entries = 0).is_err());
        assert_eq!(settings(None).lookup_timeout, secs(1));
    }

    #[test]
    fn an_unusable_key_is_refused_without_being_shown() {
        for key in
            ["", " \n", "pk_live_canary\nmore", "pk live_canary", "pk_live_canary\0"]
        {
            let key = KeySource::Value(key.into());
            let mode = Mode::Static { key, caller_token: None };
            let error = Settings::new(mode, "u", "v").check_values().unwrap_err();
            assert!(matches!(error, Error::Key(_)));
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert!(!format!("{:?}", settings(None)).contains(CANARY));
    }
}
