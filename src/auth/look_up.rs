//! The one question that auth asks Polytomic: who owns this key? The trait keeps the
//! HTTP client out of auth, and a server out of its tests.

use std::fmt;

use futures_util::future::BoxFuture;
use http::HeaderValue;

use super::Identity;

/// Asks Polytomic who owns a key.
///
/// The future is boxed so that authentication needs no type parameter: the gateway
/// looks up each key about once a minute.
pub trait LookUp: Send + Sync + 'static {
    /// Sends `GET /api/me` with `authorization`, once, without a retry.
    ///
    /// Needs no timeout: auth drops the future after 1 second.
    ///
    /// # Errors
    ///
    /// Every outcome other than a readable 200 or a 401 is a [`LookUpError`], which
    /// lets the RPC continue without an identity.
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>>;
}

impl fmt::Debug for dyn LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

/// What Polytomic said about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: the key is valid, and this is its owner.
    Known(Identity),
    /// 401: no such key.
    Unknown,
}

/// Polytomic did not say: the request failed, or its response was unreadable.
#[derive(Debug, thiserror::Error)]
#[error("the identity of a key could not be looked up")]
pub struct LookUpError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl LookUpError {
    /// Wraps the cause, whose text must not contain the key.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: cause.into() }
    }

    /// Returns the cause.
    #[must_use]
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.source
    }
}
