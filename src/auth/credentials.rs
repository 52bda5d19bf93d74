//! The credentials of an upstream request, built once per key and then shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::hash::CredentialHash;
use super::{CredentialOwner, Error, Identity, Redactor};
use crate::budget::KeyId;

/// Ready-to-send credentials of one key. Cloning is cheap.
///
/// The header is marked sensitive: `Debug` does not show it and HTTP/2 never indexes
/// it. Its memory cannot be wiped, because HTTP libraries share and copy it.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authorization: HeaderValue,
    fingerprint: Box<str>,
    identity: Option<Identity>,
    owner: CredentialOwner,
    hash: CredentialHash,
    generation: u64,
}

impl Credentials {
    /// Makes credentials with a new generation.
    pub(super) fn new(
        authorization: HeaderValue,
        hash: CredentialHash,
        owner: CredentialOwner,
        identity: Option<Identity>,
    ) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        // The log has texts of it.
        let identity =
            identity.map(|identity| identity.without(&redactor(&authorization)));
        Self(Arc::new(Inner {
            authorization,
            fingerprint: hash.id().to_string().into(),
            identity,
            owner,
            hash,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        }))
    }

    /// Returns the value of the `authorization` header, marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }

    /// Returns what removes the key from texts: an error response of Polytomic may
    /// repeat it.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        redactor(&self.0.authorization)
    }

    /// Returns what stands for the [key](Self::key) in logs: 16 hexadecimal digits.
    ///
    /// They do not reveal the key, and change when the gateway restarts. Never use them
    /// as a metric label: their number is not bounded.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// Returns what stands for the key where clients are counted.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.0.hash.id()
    }

    /// Returns the owner of the key as Polytomic states it, if a look-up succeeded.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.0.identity.as_ref()
    }

    /// Returns whose key it is, the client's or the gateway's.
    #[must_use]
    pub fn owner(&self) -> CredentialOwner {
        self.0.owner
    }

    /// Checks the key for a call that only partner keys may make.
    ///
    /// # Errors
    ///
    /// [`Error::NotPartner`], if Polytomic is certain to reject the key.
    pub fn check_partner(&self) -> Result<(), Error> {
        match self.identity() {
            Some(identity) if identity.is_no_partner() => {
                Err(Error::NotPartner { class: identity.class, owner: self.owner() })
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of these credentials, unique in the process. The same key gets
    /// a new number each time it is verified.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    pub(super) fn hash(&self) -> CredentialHash {
        self.0.hash
    }
}

fn redactor(authorization: &HeaderValue) -> Redactor {
    let header = authorization.as_bytes();
    Redactor::new(header.strip_prefix(b"Bearer ").unwrap_or(header))
}

/// Returns a sensitive `Bearer` header for a key that
/// [`token`](super::bearer::token) has accepted.
pub(super) fn header(token: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .expect("the characters of a token are visible ASCII");
    value.set_sensitive(true);
    value
}
