//! Turns gRPC metadata into ready-to-send upstream credentials, and remembers what it
//! learns about them.
//!
//! The memory grants nothing: every RPC goes upstream with its key, where Polytomic
//! checks it. It serves to refuse early and precisely, to name the caller in the
//! access log, and to keep a caller in a loop with a dead key off Polytomic's limits.

mod bearer;
mod cache;
mod credentials;
mod file;
mod flight;
mod identity;
mod key;
mod look_up;
pub mod settings;
mod stats;
mod verifier;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use secrecy::ExposeSecret;

use self::file::{CredentialFile, Token};
use self::key::Hasher;
use self::look_up::Oracle;
use self::verifier::Verifier;

pub use self::credentials::Credentials;
pub use self::identity::{Class, Identity};
pub use self::look_up::{LookUp, LookUpError, Verdict};
pub use self::settings::{KeySource, Mode, Settings};
pub use self::stats::{FileStats, Stats};

/// Gives each RPC the credentials it goes upstream with.
#[derive(Debug)]
pub struct Authenticator {
    hasher: Arc<Hasher>,
    verifier: Arc<Verifier>,
    gate: Gate,
}

/// Where keys come from, one variant per [`Mode`].
#[derive(Debug)]
enum Gate {
    Passthrough,
    Static { key: Source, caller_token: Option<Arc<CredentialFile>> },
}

/// The gateway's own key.
#[derive(Debug)]
enum Source {
    File(Arc<CredentialFile>),
    Value(Arc<Token>),
}

/// Whose key it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialOwner {
    /// The caller's, sent as metadata.
    Caller,
    /// The gateway's own: the caller can do nothing about it.
    Gateway,
}

/// Why an RPC gets no credentials. No text holds any part of a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller sent no `authorization` metadata.
    #[error("no authorization metadata was sent")]
    Missing,
    /// The caller's `authorization` metadata is not one bearer key; says why.
    #[error("malformed authorization metadata: {0}")]
    Malformed(&'static str),
    /// Polytomic answered 401 to the key, now or a few seconds ago.
    #[error("Polytomic does not know the {holder}'s key")]
    Rejected {
        /// Whose key it is.
        holder: CredentialOwner,
    },
    /// Polytomic says that the key is good but not a partner's.
    #[error("a partner key is needed, and the class of the {holder}'s key is {class}")]
    NotPartner {
        /// The class of the key.
        class: Class,
        /// Whose key it is.
        holder: CredentialOwner,
    },
    /// The caller's token is not the one that callers of this gateway must present.
    #[error("the caller token is wrong")]
    CallerToken,
    /// The gateway never had a usable credential of this name.
    #[error("the gateway has no usable {0} yet")]
    Unavailable(&'static str),
    /// A look-up panicked.
    #[error("internal error")]
    Internal,
}

const PARTNER_KEY: &str = "partner key";
const CALLER_TOKEN: &str = "caller token";

impl Authenticator {
    /// Builds it, reading credential files for the first time.
    ///
    /// A file that is not usable yet is logged, not an error: it is read again every
    /// 5 s, and until then [`is_ready`](Self::is_ready) is false. Call
    /// [`Settings::check`] first, with the address to listen on.
    ///
    /// # Errors
    ///
    /// Refuses settings that are out of range.
    pub async fn start(
        settings: Settings,
        look_up: impl LookUp,
    ) -> Result<Self, settings::Error> {
        settings.check_values()?;
        let mode = settings.mode.as_str();
        let hasher =
            Arc::new(Hasher::new(mode, &settings.upstream, &settings.api_version));
        let holder = match settings.mode {
            Mode::Passthrough => CredentialOwner::Caller,
            Mode::Static { .. } => CredentialOwner::Gateway,
        };
        let verifier = Verifier::new(&settings, holder, Oracle::new(look_up));
        let gate = Gate::open(settings.mode, &hasher).await;
        Ok(Self { hasher, verifier, gate })
    }

    /// Returns the credentials for an RPC with `metadata`.
    ///
    /// The first call with a key may wait for Polytomic to say who holds it, at most
    /// [`Settings::lookup_timeout`]; dropping the future does not disturb others who
    /// wait for the same.
    ///
    /// # Errors
    ///
    /// See [`Error`]. None of them has reached the RPC's own endpoint.
    pub async fn credentials(&self, metadata: &HeaderMap) -> Result<Credentials, Error> {
        match &self.gate {
            Gate::Passthrough => {
                let token = bearer::from_metadata(metadata)?;
                self.verifier.resolve(self.hasher.key(token), token).await
            }
            Gate::Static { key, caller_token } => {
                if let Some(expected) = caller_token {
                    self.check_caller(metadata, expected)?;
                }
                self.lend(key).await
            }
        }
    }

    /// Takes note that Polytomic answered 401 to `credentials`, and returns other ones
    /// to repeat the call with, once.
    ///
    /// There are others only in static mode, when the key file has changed since.
    /// Newer credentials of the same key stay as they are.
    pub async fn rejected(&self, credentials: &Credentials) -> Option<Credentials> {
        self.verifier.reject(credentials).await;
        let Gate::Static { key, .. } = &self.gate else { return None };
        let current = key.current()?;
        let other = if current.key.is(&credentials.key()) {
            key.successor(&current).await?
        } else {
            current
        };
        self.resolve(&other).await.ok()
    }

    /// Reads credential files again now, as on SIGHUP.
    pub async fn reload(&self) {
        for file in self.gate.files().into_iter().flatten() {
            file.reload().await;
        }
    }

    /// Reports whether every credential the gateway itself needs has been loaded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.gate.files().into_iter().flatten().all(|file| file.current().is_some())
    }

    /// Returns the counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let [key_file, token_file] =
            self.gate.files().map(|file| file.map(|f| f.stats()));
        Stats { key_file, token_file, ..self.verifier.stats() }
    }

    fn check_caller(
        &self,
        metadata: &HeaderMap,
        expected: &CredentialFile,
    ) -> Result<(), Error> {
        let presented = self.hasher.key(bearer::from_metadata(metadata)?);
        let expected = expected.current().ok_or(Error::Unavailable(CALLER_TOKEN))?;
        // Hashes have one length, so not even the token's length shows in the time.
        if presented.is(&expected.key) { Ok(()) } else { Err(Error::CallerToken) }
    }

    async fn lend(&self, key: &Source) -> Result<Credentials, Error> {
        let current = key.current().ok_or(Error::Unavailable(PARTNER_KEY))?;
        let outcome = self.resolve(&current).await;
        if !matches!(outcome, Err(Error::Rejected { .. })) {
            return outcome;
        }
        match key.successor(&current).await {
            Some(successor) => self.resolve(&successor).await,
            None => outcome,
        }
    }

    async fn resolve(&self, token: &Token) -> Result<Credentials, Error> {
        self.verifier.resolve(token.key, token.secret.expose_secret()).await
    }
}

impl Gate {
    async fn open(mode: Mode, hasher: &Arc<Hasher>) -> Self {
        let Mode::Static { key, caller_token } = mode else { return Self::Passthrough };
        let key = match key {
            KeySource::File(path) => {
                let file = CredentialFile::open(PARTNER_KEY, path, Arc::clone(hasher));
                Source::File(file.await)
            }
            KeySource::Value(secret) => {
                let secret = secret.expose_secret().trim();
                let key = hasher.key(secret);
                Source::Value(Arc::new(Token { key, secret: secret.into() }))
            }
        };
        let Some(path) = caller_token else {
            return Self::Static { key, caller_token: None };
        };
        let file = CredentialFile::open(CALLER_TOKEN, path, Arc::clone(hasher)).await;
        Self::Static { key, caller_token: Some(file) }
    }

    /// Returns the file of the key and the file of the caller token.
    fn files(&self) -> [Option<&Arc<CredentialFile>>; 2] {
        match self {
            Self::Passthrough => [None, None],
            Self::Static { key: Source::File(key), caller_token } => {
                [Some(key), caller_token.as_ref()]
            }
            Self::Static { key: Source::Value(_), caller_token } => {
                [None, caller_token.as_ref()]
            }
        }
    }
}

impl Source {
    fn current(&self) -> Option<Arc<Token>> {
        match self {
            Self::File(file) => file.current(),
            Self::Value(token) => Some(Arc::clone(token)),
        }
    }

    /// Reads the file again and returns its key if it is not `refused`.
    async fn successor(&self, refused: &Token) -> Option<Arc<Token>> {
        let Self::File(file) = self else { return None };
        file.reload().await;
        file.current().filter(|token| !token.key.is(&refused.key))
    }
}

impl fmt::Display for CredentialOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
        })
    }
}

#[cfg(test)]
mod tests;
