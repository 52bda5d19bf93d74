//! For whom a request is sent.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::super::Circuit;
use crate::budget::KeyId;

/// For whom a request is sent. The failures of one holder say nothing about others.
#[derive(Debug, Clone)]
pub struct Holder {
    pub(super) key: KeyId,
    pub(super) path: Option<Arc<str>>,
    pub(super) counts: bool,
}

impl Holder {
    /// Returns a client with a key.
    ///
    /// `is_verified` states that Polytomic knows the key. Clients can make up any
    /// number of others, so all of those count as one holder where holders are
    /// counted.
    #[must_use]
    pub fn of_client(key: KeyId, is_verified: bool) -> Self {
        Self { key, path: None, counts: is_verified }
    }

    /// Returns the requests with the gateway's key to one path, without its query.
    ///
    /// That key stands for all clients: as one holder, a single resource that fails
    /// would shut out all of them.
    #[must_use]
    pub fn of_gateway(key: KeyId, path_and_query: &str) -> Self {
        let path = path_and_query.split('?').next().unwrap_or_default();
        Self { key, path: Some(path.into()), counts: true }
    }

    pub(super) fn circuit(&self) -> Circuit {
        if self.path.is_some() { Circuit::Path } else { Circuit::Key }
    }
}

/// Whether a holder counts may change; it stays the same holder.
impl Hash for Holder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.key, &self.path).hash(state);
    }
}
