//! An embedded simulator of Polytomic: the upstream of the demo and of the tests.
//!
//! The sandbox serves the two shared-connection endpoints, and others that show their
//! effects, over real HTTP, from memory, with fixed data ([`seed`]). It does what
//! Polytomic documents; the list of assumptions below has the rest.
//!
//! # Endpoints
//!
//! | endpoint | key |
//! |---|---|
//! | `GET /api/organizations/{org_id}/connections/{connection_id}/shared` | partner |
//! | `POST /api/organizations/{org_id}/connections/{connection_id}/shared` | partner |
//! | `GET /api/organizations`, `GET /api/organizations/{id}` | partner |
//! | `GET /api/organization` | user, organization |
//! | `GET /api/connections`, `GET /api/connections/{id}` | user, organization |
//! | `GET /api/connections/{id}/shared` | user, organization |
//! | `GET /api/me` | any |
//!
//! The 404 is the same for a connection that does not exist, is not owned by `org_id`,
//! or belongs to another partner account. POST honours `Idempotency-Key`: the first
//! outcome is replayed, errors included. Every response has `X-Polytomic-Version`.
//!
//! # Failures on demand
//!
//! Both partner endpoints always fail for these connection IDs, if `org_id` is the
//! client's owner organization. The IDs are `00000000-0000-4000-8000-` and twelve
//! digits; these are the last three:
//!
//! | ID | effect | constant |
//! |---|---|---|
//! | `…001` | no response, as long as the client waits | [`seed::NEVER_ANSWERED`] |
//! | `…002` | the connection is reset before any response | [`seed::RESET`] |
//! | `…003` | `200`, half of a JSON, then the connection closes | [`seed::HALF_ANSWERED`] |
//! | `…004` | `200` with `{}` | [`seed::EMPTY_OBJECT`] |
//! | `…200` | `200` with an HTML page | [`seed::HTML_PAGE`] |
//! | `…302` | a redirect to `/sign-in` | [`seed::failing_connection`] |
//! | `…400` `…401` `…403` `…404` `…408` `…409` `…500` `…504` | that status, as `ApiError` | same |
//! | `…422` | that status, with `metadata.used_by` | same |
//! | `…429` `…503` | that status, with `Retry-After: 2` | same |
//! | `…502` | that status, with an HTML page, as from a load balancer | same |
//!
//! # Long lists
//!
//! The partner's list of a connection `00000000-0000-4000-9000-` and twelve digits has as
//! many copies as the digits state, up to 999,999 ([`seed::connection_with_copies`]): about
//! 900 bytes each, made while the list is sent. The connection has no other endpoint.
//!
//! # Failures at random
//!
//! With the cargo feature `testing`, `Handle::set_faults` makes the partner endpoints
//! lose, delay and double requests, or respond as a proxy in between would.
//!
//! # Assumptions
//!
//! Polytomic does not document these. Only the first can be changed.
//!
//! | subject | assumption |
//! |---|---|
//! | a list without elements | `[]`; `null` after [`Handle::send_null_when_empty`] |
//! | `key` and `message` of every error | the sandbox's own words |
//! | order of checks | version, size, route, key (401), `Idempotency-Key`, class (403), path, 404, body |
//! | a partner key on a user's or organization's endpoint | 403 |
//! | keys sent in another way than as one `Bearer` | 401 (Polytomic also has a Basic form) |
//! | `organization_id` and `organization_name` of a partner in `/api/me` | its owner organization |
//! | an ID in the path that is not a hyphenated UUID | 422 |
//! | a body that is no JSON, no object, or of wrong types | 400 |
//! | another `Content-Type` than `application/json` | 415 |
//! | a body above 1 MiB | 413 |
//! | `child_organization_id` missing, `null` or no UUID | 422 |
//! | a child that is unknown or of another partner account | 404 |
//! | sharing with the owner organization itself | accepted, as in the documented example |
//! | sharing a connection that is not in the owner organization, or a copy | 422 |
//! | sharing twice with the same child, or by the same name | another copy |
//! | an empty or `null` `name` | as if it were absent |
//! | the ID of a copy | a UUIDv5 of parent, child and the number of earlier copies |
//! | a copy's fields | its parent's, but made by the partner, with `null` calls |
//! | the order of lists | oldest first |
//! | `Idempotency-Key` malformed or given twice | 400 |
//! | the same `Idempotency-Key` with another body | 422; bodies are compared as bytes |
//! | `Idempotency-Key` on a GET | ignored |
//! | a create while the service crashes | made and its outcome recorded, or neither |
//! | requests rejected with 401, 413 or for their version | not recorded under the key |
//! | life of outcomes | as long as the sandbox runs |
//! | no version requested | 2025-09-18 |
//! | an unknown version | 400, served by 2025-09-18 |
//! | older versions | the same responses, without the two partner endpoints (404) |
//! | an unknown path, a wrong method | 404, 405, whatever the key |

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use self::state::SandboxState;

mod api;
mod body;
mod client;
mod directory;
mod error_response;
mod exchange;
mod failures;
#[cfg(feature = "testing")]
mod faults;
mod idempotency;
mod in_flight;
mod long_list;
mod model;
mod request_log;
pub mod seed;
mod serve;
mod state;
mod version;
mod wire;

#[cfg(test)]
mod tests;

#[cfg(feature = "testing")]
pub use self::faults::Faults;
pub use self::request_log::Request;

/// A sandbox, bound to its port.
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<SandboxState>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A shared copy, as the sandbox holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// The ID of the copy.
    pub id: String,
    /// The ID of the connection that was shared.
    pub parent_connection_id: String,
    /// The ID of the organization that received the copy.
    pub organization_id: String,
    /// The name of the copy.
    pub name: String,
}

impl Sandbox {
    /// Binds a sandbox with the seed data; port 0 takes a free port.
    ///
    /// The system accepts connections from here on; requests get responses once the
    /// sandbox [runs](Self::run).
    ///
    /// # Errors
    ///
    /// If the address cannot be bound, for example because it is in use.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        Handle(Arc::new(SandboxState::new())).bind(listen).await
    }

    /// Returns the address that is bound, with the port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a handle, which stays usable after the sandbox has stopped.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.state))
    }

    /// Serves until `shutdown` completes, then for up to two seconds more to finish
    /// requests in flight.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, state, .. } = self;
        let app = api::router(&state);
        serve::serve(listener, app, &state, shutdown).await;
    }
}

/// Inspects and changes a sandbox; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<SandboxState>);

impl Handle {
    /// Binds another sandbox to the same data, as a service starts again on its
    /// database.
    ///
    /// To kill a sandbox, drop the runtime that it runs on. A create in flight has then
    /// been made, with its outcome recorded, or not been made, with its key free: the
    /// two are one transaction.
    ///
    /// # Errors
    ///
    /// Those of [`Sandbox::bind`].
    pub async fn bind(&self, listen: SocketAddr) -> io::Result<Sandbox> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Sandbox { listener, address, state: Arc::clone(&self.0) })
    }

    /// Returns the latest requests (up to 65,536), in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.0.request_log.requests()
    }

    /// Clears the request log.
    pub fn clear_requests(&self) {
        self.0.request_log.clear();
    }

    /// Returns every shared copy, oldest first, the seeded ones included.
    #[must_use]
    pub fn shares(&self) -> Vec<Share> {
        let copies = self.0.directory.copies();
        let shares = copies.iter().filter_map(|copy| {
            Some(Share {
                id: copy.id.to_string(),
                parent_connection_id: copy.parent_connection_id?.to_string(),
                organization_id: copy.organization_id.to_string(),
                name: copy.name.clone(),
            })
        });
        shares.collect()
    }

    /// Revokes a key: its requests get 401 from now on.
    pub fn revoke(&self, key: &str) {
        self.0.directory.revoke(key);
    }

    /// Issues a second key to the owner of a key. Both are valid until revoked.
    pub fn issue(&self, key: &str, owner_of: &str) {
        self.0.directory.issue(key, owner_of);
    }

    /// Injects faults into requests to the partner endpoints, or stops to.
    #[cfg(feature = "testing")]
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.0.faults.set(faults);
    }

    /// Waits until no request is in flight, whether or not its client still waits.
    pub async fn idle(&self) {
        self.0.in_flight.idle().await;
    }

    /// Chooses between `data: null` and `data: []` for empty lists of connections.
    pub fn send_null_when_empty(&self, null: bool) {
        self.0.directory.set_null_when_empty(null);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
