//! The data of the sandbox: keys, organizations, connections, copies.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::{
    client::{self, Client},
    error_response::ErrorResponse,
    model::{Actor, Connection, Organization},
    seed,
};

const UNKNOWN_CONNECTION: &str = "connection not found";

/// The accounts of the sandbox, their keys and connections.
pub(super) struct Directory {
    keys: Mutex<HashMap<String, Key>>,
    accounts: Vec<Vec<Organization>>,
    connections: Vec<Arc<Connection>>,
    copies: Mutex<Copies>,
    null_when_empty: AtomicBool,
}

/// A key that was issued once.
struct Key {
    owner: Client,
    revoked: bool,
}

/// Every shared copy, in the order in which they were made.
#[derive(Default)]
struct Copies {
    all: Vec<Arc<Connection>>,
    /// The number of copies of a parent that a child has got.
    made: HashMap<(Uuid, Uuid), u64>,
}

impl Directory {
    pub(super) fn seeded() -> Self {
        let mut copies = Copies::default();
        for copy in seed::copies() {
            copies.add(copy);
        }
        let keys = seed::keys()
            .into_iter()
            .map(|(key, owner)| (key.to_owned(), Key { owner, revoked: false }))
            .collect();
        Self {
            keys: Mutex::new(keys),
            accounts: seed::accounts(),
            connections: seed::connections().into_iter().map(Arc::new).collect(),
            copies: Mutex::new(copies),
            null_when_empty: AtomicBool::new(false),
        }
    }

    /// Returns the owner of the key in the headers, unless it is revoked.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<Client> {
        let bearer = client::bearer_key(headers)?;
        let keys = self.keys();
        let key = keys.get(bearer)?;
        (!key.revoked).then_some(key.owner)
    }

    /// Names the key in an `authorization` value, for the request log.
    pub(super) fn key_name(&self, value: &HeaderValue) -> &'static str {
        let keys = self.keys();
        client::key_of(value)
            .and_then(|key| keys.get(key))
            .map_or("unknown", |key| key.owner.name)
    }

    pub(super) fn revoke(&self, key: &str) {
        if let Some(key) = self.keys().get_mut(key) {
            key.revoked = true;
        }
    }

    /// Gives the owner of a known key another one.
    pub(super) fn issue(&self, key: &str, owner_of: &str) {
        let mut keys = self.keys();
        if let Some(owner) = keys.get(owner_of).map(|key| key.owner) {
            keys.insert(key.to_owned(), Key { owner, revoked: false });
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_null_when_empty(&self, null: bool) {
        self.null_when_empty.store(null, Ordering::Relaxed);
    }

    /// Lists the organizations of a partner's account, its owner first.
    pub(super) fn account(&self, partner: Client) -> &[Organization] {
        self.accounts
            .iter()
            .find(|account| account[0].id == partner.organization)
            .map_or(&[], Vec::as_slice)
    }

    /// Finds an organization of any account.
    pub(super) fn organization(&self, id: Uuid) -> Option<&Organization> {
        self.accounts.iter().flatten().find(|organization| organization.id == id)
    }

    /// Finds an organization of a partner's account.
    pub(super) fn organization_of(
        &self,
        partner: Client,
        id: Uuid,
    ) -> Result<&Organization, ErrorResponse> {
        self.account(partner)
            .iter()
            .find(|organization| organization.id == id)
            .ok_or_else(|| ErrorResponse::not_found("organization not found"))
    }

    /// Finds a connection by ID and owner. The error is the same for every reason, so
    /// that it reveals nothing about connections of others.
    pub(super) fn connection(
        &self,
        organization: Uuid,
        id: Uuid,
    ) -> Result<Arc<Connection>, ErrorResponse> {
        let is_it =
            |it: &&Arc<Connection>| it.id == id && it.organization_id == organization;
        if let Some(connection) = self.connections.iter().find(is_it) {
            return Ok(Arc::clone(connection));
        }
        let copies = self.lock_copies();
        let copy = copies.all.iter().find(is_it).map(Arc::clone);
        copy.ok_or_else(|| ErrorResponse::not_found(UNKNOWN_CONNECTION))
    }

    /// Finds the connection that a partner names by owner and ID.
    pub(super) fn parent(
        &self,
        partner: Client,
        organization: Uuid,
        id: Uuid,
    ) -> Result<Arc<Connection>, ErrorResponse> {
        if self.organization_of(partner, organization).is_err() {
            return Err(ErrorResponse::not_found(UNKNOWN_CONNECTION));
        }
        self.connection(organization, id)
    }

    /// Lists the connections of an organization, copies last.
    pub(super) fn connections_of(
        &self,
        organization: Uuid,
    ) -> Option<Vec<Arc<Connection>>> {
        let owned = |it: &&Arc<Connection>| it.organization_id == organization;
        let mut found: Vec<_> =
            self.connections.iter().filter(owned).map(Arc::clone).collect();
        found.extend(self.lock_copies().all.iter().filter(owned).map(Arc::clone));
        self.list(found)
    }

    /// Lists the copies of a connection, oldest first.
    pub(super) fn copies_of(&self, parent: Uuid) -> Option<Vec<Arc<Connection>>> {
        let copies = self.lock_copies();
        let is_copy = |it: &&Arc<Connection>| it.parent_connection_id == Some(parent);
        self.list(copies.all.iter().filter(is_copy).map(Arc::clone).collect())
    }

    /// Lists every copy there is, oldest first.
    pub(super) fn copies(&self) -> Vec<Arc<Connection>> {
        self.lock_copies().all.clone()
    }

    /// Makes a copy of `parent` in the organization `child`.
    pub(super) fn share(
        &self,
        parent: &Connection,
        child: Uuid,
        name: Option<String>,
        by: Actor,
    ) -> Uuid {
        let mut copies = self.lock_copies();
        let number = copies.made.get(&(parent.id, child)).copied().unwrap_or(0);
        let id = Uuid::new_v5(&parent.id, format!("{child}/{number}").as_bytes());
        copies.add(Connection {
            api_calls_last_24_hours: None,
            created_at: seed::SHARED_AT,
            created_by: by,
            id,
            name: name.unwrap_or_else(|| parent.name.clone()),
            organization_id: child,
            parent_connection_id: Some(parent.id),
            updated_at: seed::SHARED_AT,
            updated_by: by,
            ..parent.clone()
        });
        id
    }

    /// Returns the list, or `None` if an empty one is to be `null`.
    fn list(&self, found: Vec<Arc<Connection>>) -> Option<Vec<Arc<Connection>>> {
        let null = found.is_empty() && self.null_when_empty.load(Ordering::Relaxed);
        (!null).then_some(found)
    }

    fn lock_copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies {
    fn add(&mut self, copy: Connection) {
        if let Some(parent) = copy.parent_connection_id {
            *self.made.entry((parent, copy.organization_id)).or_default() += 1;
        }
        self.all.push(Arc::new(copy));
    }
}
