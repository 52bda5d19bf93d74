//! Turns gRPC metadata into ready-to-send upstream credentials, and caches what
//! Polytomic says about each key.
//!
//! The cache grants nothing: every RPC goes upstream with its key, and Polytomic checks
//! it there. The cache serves to reject early with a precise reason, to name the client
//! in the log, and to keep a client that loops with a dead key off Polytomic's limits.

mod bearer;
mod cache;
mod callers;
mod credentials;
mod error;
mod file;
mod hash;
mod identity;
mod in_flight;
mod look_up;
mod metrics;
mod rate;
mod redact;
pub mod settings;
mod stats;
mod verifier;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret;

use crate::{budget::KeyId, files::Reload, peer::Peer};

use self::callers::KnownCallers;
use self::file::{CredentialFile, Rules, Token};
use self::hash::Hasher;
use self::verifier::Verifier;

pub use self::credentials::Credentials;
pub use self::error::{CredentialOwner, Error};
pub use self::identity::{Class, Identity};
pub use self::look_up::{LookUp, LookUpError, Verdict};
pub use self::redact::Redactor;
pub use self::settings::{Callers, KeySource, Mode, Settings};
pub use self::stats::{FileState, FileStats, Stats};
pub use self::verifier::LOOK_UP_TIMEOUT;

/// Returns the credentials with which each RPC goes upstream.
#[derive(Debug)]
pub struct Authenticator {
    hasher: Arc<Hasher>,
    verifier: Arc<Verifier>,
    mode: ModeState,
}

/// What a running gateway holds for its [`Mode`].
#[derive(Debug)]
enum ModeState {
    Passthrough,
    Static { key: PartnerKey, callers: KnownCallers },
}

/// The gateway's own key.
#[derive(Clone, Debug)]
enum PartnerKey {
    File(Arc<CredentialFile>),
    Value(Arc<Token>),
}

const PARTNER_KEY: &str = "partner key";
const CALLER_TOKEN: &str = "caller token";

impl Authenticator {
    /// Starts to authenticate RPCs. Reads the credential files for the first time.
    ///
    /// A file without a usable credential is logged, not an error: it is read again
    /// every 5 s, and until then [`is_ready`](Self::is_ready) returns false. Call
    /// [`Settings::check`] first, with the address to listen on.
    ///
    /// # Errors
    ///
    /// If the partner key is given as a value and is malformed.
    pub async fn start(
        settings: Settings,
        look_up: impl LookUp,
    ) -> Result<Self, settings::Error> {
        settings.check_key()?;
        let mode = settings.mode.as_str();
        let hasher =
            Arc::new(Hasher::new(mode, &settings.upstream, &settings.api_version));
        let owner = match settings.mode {
            Mode::Passthrough => CredentialOwner::Caller,
            Mode::Static { .. } => CredentialOwner::Gateway,
        };
        let verifier = Verifier::new(settings.verify, settings.look_ups, owner, look_up);
        let mode = ModeState::load(settings.mode, &hasher).await;
        Ok(Self { hasher, verifier, mode })
    }

    /// Returns the credentials for an RPC with `metadata`, on a connection of `peer`.
    ///
    /// The first RPC with a key waits up to 1 second for a look-up of the key's owner.
    /// Dropping the future does not disturb others that wait for the same look-up.
    ///
    /// # Errors
    ///
    /// See [`Error`]. In none of them has a request for the RPC been sent.
    pub async fn credentials(
        &self,
        metadata: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Credentials, Error> {
        match &self.mode {
            ModeState::Passthrough => {
                let token = bearer::from_metadata(metadata)?;
                self.verifier.resolve(self.hasher.hash(token), token).await
            }
            ModeState::Static { key, callers } => {
                callers.check(metadata, peer, &self.hasher)?;
                self.gateway_credentials(key).await
            }
        }
    }

    /// Returns what tells a client from others that send the same, for derived keys. In
    /// static mode it is the name in the client's certificate, if there is one: clients
    /// share a caller token, and without one their `authorization` is ignored.
    #[must_use]
    pub fn credential_of<'a>(
        &self,
        metadata: &'a HeaderMap,
        peer: Option<&'a Peer>,
    ) -> &'a [u8] {
        let identity = match self.mode {
            ModeState::Passthrough => None,
            ModeState::Static { .. } => peer.and_then(|peer| peer.identity.as_ref()),
        };
        let authorization = metadata.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        identity
            .map(|name| name.as_str().as_bytes())
            .or(authorization)
            .unwrap_or_default()
    }

    /// Returns what stands for the identity of a client where clients are counted, if it
    /// has one.
    #[must_use]
    pub fn id_of(&self, peer: Option<&Peer>) -> Option<KeyId> {
        let identity = peer?.identity.as_ref()?;
        Some(self.hasher.hash(identity.as_str()).id())
    }

    /// Records that Polytomic responded to `credentials` with 401. Returns other
    /// credentials with which to retry once.
    ///
    /// There are others only in static mode, if the key file has changed since. If there
    /// are none, waits up to 1 second for a look-up: the key counts as rejected only if
    /// Polytomic responds to that with 401, too. Concurrent RPCs share the look-up.
    pub async fn rejected(&self, credentials: &Credentials) -> Option<Credentials> {
        if let Some(other) = self.other_key(credentials).await {
            return self.resolve(&other).await.ok();
        }
        self.verifier.check(credentials).await;
        None
    }

    /// Reads the credential files again now, as on SIGHUP.
    pub async fn reload(&self) {
        for file in self.mode.files().into_iter().flatten() {
            file.reload().await;
        }
    }

    /// Reports whether every credential of the gateway itself has been loaded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.mode.files().into_iter().flatten().all(|file| file.current().is_some())
    }

    /// Reports whether keys are looked up at Polytomic.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.verifier.verifies()
    }

    /// Returns the current counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let [key_file, token_file] =
            self.mode.files().map(|file| file.map(|f| f.stats()));
        Stats { key_file, token_file, ..self.verifier.stats() }
    }

    /// Asks Polytomic now who owns the gateway's own key. Nothing is cached.
    ///
    /// Returns `None` in passthrough mode, and without a usable key.
    ///
    /// # Errors
    ///
    /// If Polytomic does not say.
    pub async fn look_up_own_key(&self) -> Option<Result<Verdict, LookUpError>> {
        let ModeState::Static { key, .. } = &self.mode else { return None };
        let key = key.current()?;
        Some(self.verifier.ask(key.secret.expose_secret()).await)
    }

    /// Returns each credential file, the partner key's first.
    #[must_use]
    pub fn files(&self) -> Vec<FileState> {
        self.mode.files().into_iter().flatten().map(|file| file.state()).collect()
    }

    /// Returns the state of each credential file, for people, if there is any.
    #[must_use]
    pub fn describe_files(&self) -> Option<String> {
        let states: Vec<String> = [PARTNER_KEY, CALLER_TOKEN]
            .into_iter()
            .zip(self.mode.files())
            .filter_map(|(name, file)| Some(format!("{name} {}", file?.stats())))
            .collect();
        (!states.is_empty()).then(|| states.join("; "))
    }

    /// Returns credentials of the gateway's own key. If the key is rejected, reads its
    /// file again and uses the new key, if there is one.
    async fn gateway_credentials(&self, key: &PartnerKey) -> Result<Credentials, Error> {
        let current = key.current().ok_or(Error::Unavailable(PARTNER_KEY))?;
        let outcome = self.resolve(&current).await;
        if !matches!(outcome, Err(Error::Rejected { .. })) {
            return outcome;
        }
        match key.reloaded_key(&current).await {
            Some(reloaded) => self.resolve(&reloaded).await,
            None => outcome,
        }
    }

    /// Returns the gateway's key, if it is another than that of `rejected`.
    async fn other_key(&self, rejected: &Credentials) -> Option<Arc<Token>> {
        let ModeState::Static { key, .. } = &self.mode else { return None };
        let current = key.current()?;
        if current.hash.matches(&rejected.hash()) {
            return key.reloaded_key(&current).await;
        }
        Some(current)
    }

    async fn resolve(&self, token: &Token) -> Result<Credentials, Error> {
        self.verifier.resolve(token.hash, token.secret.expose_secret()).await
    }
}

impl ModeState {
    async fn load(mode: Mode, hasher: &Arc<Hasher>) -> Self {
        let Mode::Static { key, callers } = mode else { return Self::Passthrough };
        let key = match key {
            KeySource::File(path) => {
                let rules = Rules::of_key(PARTNER_KEY);
                let file = CredentialFile::open(rules, path, Arc::clone(hasher));
                PartnerKey::File(file.await)
            }
            KeySource::Value(secret) => {
                let secret = secret.expose_secret().trim();
                let hash = hasher.hash(secret);
                PartnerKey::Value(Arc::new(Token { hash, secret: secret.into() }))
            }
        };
        let callers = KnownCallers::load(callers, &key, hasher).await;
        Self::Static { key, callers }
    }

    /// Returns the file of the partner key and the file of the caller token.
    fn files(&self) -> [Option<&Arc<CredentialFile>>; 2] {
        let Self::Static { key, callers } = self else { return [None, None] };
        let key = match key {
            PartnerKey::File(file) => Some(file),
            PartnerKey::Value(_) => None,
        };
        [key, callers.file()]
    }
}

impl PartnerKey {
    fn current(&self) -> Option<Arc<Token>> {
        match self {
            Self::File(file) => file.current(),
            Self::Value(token) => Some(Arc::clone(token)),
        }
    }

    /// Reads the file again and returns its key if it differs from `rejected`.
    async fn reloaded_key(&self, rejected: &Token) -> Option<Arc<Token>> {
        let Self::File(file) = self else { return None };
        file.reload().await;
        file.current().filter(|token| !token.hash.matches(&rejected.hash))
    }
}

#[cfg(test)]
mod tests;
