//! Why an RPC has no credentials.

use std::fmt;

use super::Class;

/// Whose key an RPC goes upstream with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialOwner {
    /// The client's, sent as metadata.
    Caller,
    /// The gateway's own. The client cannot change it.
    Gateway,
}

/// Why an RPC has no credentials. No text contains any part of a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client sent no `authorization` metadata.
    #[error("no authorization metadata was sent")]
    Missing,
    /// The client's `authorization` metadata is not one bearer key; states the problem.
    #[error("malformed authorization metadata: {0}")]
    Malformed(&'static str),
    /// Polytomic responded with 401 to the key, now or in the last 5 seconds.
    #[error("Polytomic does not know the {owner}'s key")]
    Rejected {
        /// Whose key it is.
        owner: CredentialOwner,
    },
    /// The key is valid but not a partner key.
    #[error("a partner key is needed, and the class of the {owner}'s key is {class}")]
    NotPartner {
        /// The class of the key.
        class: Class,
        /// Whose key it is.
        owner: CredentialOwner,
    },
    /// The client's token is not the caller token of this gateway.
    #[error("the caller token is wrong")]
    CallerToken,
    /// The client has shown no certificate, and may not use the gateway's key without.
    #[error("the client has shown no certificate")]
    NoIdentity,
    /// The gateway has not loaded a usable credential of this name yet.
    #[error("the gateway has no usable {0} yet")]
    Unavailable(&'static str),
    /// A look-up panicked.
    #[error("internal error")]
    Internal,
}

impl fmt::Display for CredentialOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
        })
    }
}
