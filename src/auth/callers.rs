//! Which clients may use the gateway's own key.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    CALLER_TOKEN, Callers, Error, PartnerKey, bearer,
    file::{CredentialFile, Rules},
    hash::Hasher,
};
use crate::peer::Peer;

/// What a running gateway holds for its [`Callers`].
#[derive(Debug)]
pub(super) enum KnownCallers {
    Any,
    Token(Arc<CredentialFile>),
    Certificate,
}

impl KnownCallers {
    /// Reads the file of the token, if there is one. The token must not be the `key`.
    pub(super) async fn load(
        callers: Callers,
        key: &PartnerKey,
        hasher: &Arc<Hasher>,
    ) -> Self {
        match callers {
            Callers::Any => Self::Any,
            Callers::Certificate => Self::Certificate,
            Callers::Token(path) => {
                let rules = Rules::of_caller_token(CALLER_TOKEN, key.clone());
                let file = CredentialFile::open(rules, path, Arc::clone(hasher));
                Self::Token(file.await)
            }
        }
    }

    /// Returns the file of the token.
    pub(super) fn file(&self) -> Option<&Arc<CredentialFile>> {
        match self {
            Self::Token(file) => Some(file),
            Self::Any | Self::Certificate => None,
        }
    }

    /// Checks that a client is one of them.
    pub(super) fn check(
        &self,
        metadata: &HeaderMap,
        peer: Option<&Peer>,
        hasher: &Hasher,
    ) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::Token(expected) => {
                let presented = hasher.hash(bearer::from_metadata(metadata)?);
                // Hashes have one length, so the time does not reveal the token's length.
                match expected.accepts(&presented) {
                    Some(true) => Ok(()),
                    Some(false) => Err(Error::CallerToken),
                    None => Err(Error::Unavailable(CALLER_TOKEN)),
                }
            }
            // The listener lets no client in without a certificate. Should that ever
            // change, the key is still not for all.
            Self::Certificate => match peer.and_then(|peer| peer.identity.as_ref()) {
                Some(_) => Ok(()),
                None => Err(Error::NoIdentity),
            },
        }
    }
}
