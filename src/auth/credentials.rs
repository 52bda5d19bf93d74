//! What an upstream call needs to know of its caller, made once and then shared.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::key::Key;
use super::{CredentialOwner, Identity};

/// Ready-to-send credentials of one key. Cloning is cheap.
///
/// The header is marked sensitive: `Debug` does not show it and HTTP/2 never indexes
/// it. Its memory cannot be wiped, because HTTP libraries share and copy it.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authorization: HeaderValue,
    fingerprint: String,
    identity: Option<Identity>,
    holder: CredentialOwner,
    key: Key,
    generation: u64,
}

impl Credentials {
    /// Makes credentials with a generation of their own.
    pub(super) fn new(
        authorization: HeaderValue,
        key: Key,
        holder: CredentialOwner,
        identity: Option<Identity>,
    ) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Inner {
            authorization,
            fingerprint: key.fingerprint(),
            identity,
            holder,
            key,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        }))
    }

    /// Returns the value of the `authorization` header, marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }

    /// Returns `text` without the key, which an upstream may repeat in a refusal.
    #[must_use]
    pub fn blank<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        const BLANK: &[u8] = b"[the key]";

        let header = self.0.authorization.as_bytes();
        let key = header.strip_prefix(b"Bearer ").unwrap_or(header);
        let mut blanked = Vec::new();
        let mut rest = text;
        while let Some(place) = rest.windows(key.len()).position(|part| part == key) {
            blanked.extend_from_slice(&rest[..place]);
            blanked.extend_from_slice(BLANK);
            rest = &rest[place + key.len()..];
        }
        if blanked.is_empty() {
            return Cow::Borrowed(text);
        }
        blanked.extend_from_slice(rest);
        Cow::Owned(blanked)
    }

    /// Returns 16 hexadecimal digits that stand for the key in logs and limits.
    ///
    /// They cannot be traced back to the key and change when the gateway restarts.
    /// Never a metric label: there are as many as there are keys.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// Returns who holds the key, if Polytomic was asked and answered.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.0.identity.as_ref()
    }

    /// Tells whose key it is, the caller's or the gateway's.
    #[must_use]
    pub fn holder(&self) -> CredentialOwner {
        self.0.holder
    }

    /// Returns the number of this set of credentials, unique in the process: the same
    /// key, verified anew, has another.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    pub(super) fn key(&self) -> Key {
        self.0.key
    }
}

/// Writes a bearer header around a key that [`token`](super::bearer::token) has let
/// through.
pub(super) fn header(token: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .expect("the characters of a token are visible ASCII");
    value.set_sensitive(true);
    value
}
