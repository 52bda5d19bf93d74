//! The one question this room asks the outside: whose key is this? The answer comes
//! through a trait, so that the room needs no HTTP client and its tests no server.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;

use super::Identity;

/// Asks Polytomic who holds a key.
pub trait LookUp: Send + Sync + 'static {
    /// Sends `GET /api/me` with `authorization`, once.
    ///
    /// It need not limit its own time, and it must not repeat: the caller gives it up
    /// after [`Settings::lookup_timeout`](super::Settings::lookup_timeout).
    ///
    /// # Errors
    ///
    /// Every outcome other than a readable 200 or a 401 is a [`LookUpError`], which
    /// lets the RPC go on without an identity.
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> impl Future<Output = Result<Verdict, LookUpError>> + Send;
}

/// What Polytomic answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: the key is good, and this is its holder.
    Known(Identity),
    /// 401: no such key.
    Unknown,
}

/// Polytomic did not say: it was slow, refused, failed, or its answer unreadable.
#[derive(Debug, thiserror::Error)]
#[error("the identity of a key could not be looked up")]
pub struct LookUpError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl LookUpError {
    /// Wraps the cause, whose text must not hold the key.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: cause.into() }
    }

    /// Returns the cause.
    #[must_use]
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.source
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Verdict, LookUpError>> + Send>>;

/// A [`LookUp`] with its type forgotten: one is asked per key and minute, so boxing
/// costs nothing, and a type parameter would spread to everyone who authenticates.
#[derive(Clone)]
pub(super) struct Oracle(Arc<dyn Fn(HeaderValue) -> Answer + Send + Sync>);

impl Oracle {
    pub(super) fn new(look_up: impl LookUp) -> Self {
        let look_up = Arc::new(look_up);
        Self(Arc::new(move |authorization| {
            let look_up = Arc::clone(&look_up);
            Box::pin(async move { look_up.identity(authorization).await })
        }))
    }

    pub(super) async fn ask(
        &self,
        authorization: HeaderValue,
    ) -> Result<Verdict, LookUpError> {
        (self.0)(authorization).await
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Oracle")
    }
}
