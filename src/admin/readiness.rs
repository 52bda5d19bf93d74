//! Whether the gateway should get RPCs. Polytomic's state does not matter: if it failed,
//! all instances would be taken out of use together, and clients would get no reason.

use super::Sources;
use crate::net::Phase;

/// Why a gateway should get no RPCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReady {
    #[error("the partner key is not loaded")]
    PartnerKey,
    #[error("the caller token is not loaded")]
    CallerToken,
    #[error("draining")]
    Draining,
}

/// Checks whether the gateway should get RPCs.
pub(super) fn check(sources: &Sources) -> Result<(), NotReady> {
    match sources.lifecycle.phase() {
        Phase::LameDuck | Phase::Draining => return Err(NotReady::Draining),
        Phase::Serving => {}
    }
    let stats = sources.authenticator.stats();
    if stats.key_file.is_some_and(|file| file.age.is_none()) {
        return Err(NotReady::PartnerKey);
    }
    if stats.token_file.is_some_and(|file| file.age.is_none()) {
        return Err(NotReady::CallerToken);
    }
    Ok(())
}
