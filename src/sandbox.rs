//! An embedded Polytomic: the upstream of the demo and of the tests.
//!
//! It serves the two shared-connection endpoints and the neighbours that show
//! what they did, over real HTTP, from memory, with fixed data ([`seed`]). What
//! Polytomic documents it does; the rest is assumed, in one list below.
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
//! Of a connection that does not exist, is not owned by `org_id`, or belongs to
//! another partner account, only a 404 is told, the same for all. POST honours
//! `Idempotency-Key`: the first outcome is replayed, errors included. Every answer
//! carries `X-Polytomic-Version`.
//!
//! # Failures on demand
//!
//! Both partner endpoints answer these connection ids, under the caller's owner
//! organization, always in the same way. The ids are
//! `00000000-0000-4000-8000-` and twelve digits; these are the last three:
//!
//! | id | what happens | constant |
//! |---|---|---|
//! | `…001` | no answer, for as long as the caller waits | [`seed::NEVER_ANSWERED`] |
//! | `…002` | the connection is reset before any answer | [`seed::RESET`] |
//! | `…003` | `200`, half of a JSON, then the connection closes | [`seed::HALF_ANSWERED`] |
//! | `…004` | `200` with `{}` | [`seed::EMPTY_OBJECT`] |
//! | `…200` | `200` with an HTML page | [`seed::HTML_PAGE`] |
//! | `…302` | a redirect to `/sign-in` | [`seed::failing_connection`] |
//! | `…400` `…401` `…403` `…404` `…408` `…409` `…500` `…504` | that status, as `ApiError` | same |
//! | `…422` | that status, with `metadata.used_by` | same |
//! | `…429` `…503` | that status, with `Retry-After: 2` | same |
//! | `…502` | that status, with an HTML page, as from a load balancer | same |
//!
//! # Failures at random
//!
//! After [`Handle::set_faults`] requests to the partner endpoints are lost,
//! delayed, doubled, or answered by something in between, as [`Faults`] says.
//!
//! # Assumptions
//!
//! Polytomic does not document these; only the first can be switched.
//!
//! | what | assumed |
//! |---|---|
//! | a list without elements | `[]`; `null` after [`Handle::answer_null_when_empty`] |
//! | `key` and `message` of every error | the sandbox's own words |
//! | order of checks | version, size, route, key (401), `Idempotency-Key`, class (403), path, 404, body |
//! | a partner key on a user's or organization's endpoint | 403 |
//! | keys sent in another way than as one `Bearer` | 401 (Polytomic also has a Basic form) |
//! | `organization_id` and `organization_name` of a partner in `/api/me` | its owner organization |
//! | an id in the path that is not a hyphenated UUID | 422 |
//! | a body that is no JSON, no object, or of wrong types | 400 |
//! | another `Content-Type` than `application/json` | 415 |
//! | a body above 1 MiB | 413 |
//! | `child_organization_id` missing, `null` or no UUID | 422 |
//! | a child that is unknown or of another partner account | 404 |
//! | sharing with the owner organization itself | accepted, as in the documented example |
//! | sharing a connection that is not in the owner organization, or a copy | 422 |
//! | sharing twice with the same child, or by the same name | another copy |
//! | an empty or `null` `name` | as if it were absent |
//! | the id of a copy | a UUIDv5 of parent, child and how many there were |
//! | a copy's fields | its parent's, but made by the partner, with `null` calls |
//! | the order of lists | oldest first |
//! | `Idempotency-Key` malformed or given twice | 400 |
//! | the same `Idempotency-Key` with another body | 422; bodies are compared as bytes |
//! | `Idempotency-Key` on a GET | ignored |
//! | a create that the service dies in | made and its outcome recorded, or neither |
//! | requests refused with 401, 413 or for their version | not recorded under the key |
//! | how long outcomes are kept | as long as the sandbox runs |
//! | no version named | 2025-09-18 |
//! | an unknown version | 400, served by 2025-09-18 |
//! | older versions | the same answers, without the two partner endpoints (404) |
//! | an unknown path, a wrong method | 404, 405, whatever the key |

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use self::world::World;

mod api;
mod caller;
mod directory;
mod exchange;
mod failures;
mod faults;
mod idempotency;
mod journal;
mod model;
mod refusal;
pub mod seed;
mod serve;
mod version;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use self::{faults::Faults, journal::Request};

/// An embedded Polytomic, bound to its port.
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    world: Arc<World>,
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
    /// The id of the copy.
    pub id: String,
    /// The id of the connection that it is a copy of.
    pub parent_connection_id: String,
    /// The id of the organization that has got it.
    pub organization_id: String,
    /// Its name.
    pub name: String,
}

impl Sandbox {
    /// Binds a sandbox with the seed data; port 0 takes any free one.
    ///
    /// Connections are accepted by the system from here on, and answered once
    /// the sandbox [runs](Self::run).
    ///
    /// # Errors
    ///
    /// Those of binding a socket, such as an address that is in use.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        Handle(Arc::new(World::new())).bind(listen).await
    }

    /// Returns the address bound, with the port that was taken.
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
        Handle(Arc::clone(&self.world))
    }

    /// Serves until `shutdown` resolves, then lets answers under way finish, for
    /// two seconds at most.
    ///
    /// # Errors
    ///
    /// None today; failures to accept a connection are retried.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let Self { listener, world, .. } = self;
        let app = api::router(&world);
        serve::serve(listener, app, &world, shutdown).await;
        Ok(())
    }
}

/// What tests and the demo look at and steer a sandbox by; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<World>);

impl Handle {
    /// Binds a sandbox to what this one holds, as a service starts again on the
    /// database that it left.
    ///
    /// A sandbox is killed by dropping the runtime that it runs on. A create under
    /// way has then been made, and its outcome is recorded, or neither is so and
    /// its key is free: the two are one transaction.
    ///
    /// # Errors
    ///
    /// Those of [`Sandbox::bind`].
    pub async fn bind(&self, listen: SocketAddr) -> io::Result<Sandbox> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Sandbox { listener, address, world: Arc::clone(&self.0) })
    }

    /// Returns the latest requests (65,536 at most), in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.0.journal.requests()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.0.journal.clear();
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

    /// Revokes a key: it is answered 401 from now on.
    pub fn revoke(&self, key: &str) {
        self.0.directory.revoke(key);
    }

    /// Gives the holder of a key another one: both are good until one is revoked.
    pub fn issue(&self, key: &str, holder_of: &str) {
        self.0.directory.issue(key, holder_of);
    }

    /// Lets requests to the partner endpoints fail at random, or no longer.
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.0.faults.set(faults);
    }

    /// Waits until no request is being handled, whether or not its caller waits
    /// for the answer.
    pub async fn idle(&self) {
        self.0.faults.idle().await;
    }

    /// Chooses between `data: null` and `data: []` for connection lists without
    /// elements.
    pub fn answer_null_when_empty(&self, null: bool) {
        self.0.directory.set_null_when_empty(null);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
