//! The data that a sandbox starts with: keys, organizations, connections.
//!
//! All of it is fixed, so that the documentation shows true output and two runs are
//! equal byte for byte.

mod connections;

use uuid::{Uuid, uuid};

pub(super) use self::connections::{connections, copies};
use super::{
    client::{Class, Client},
    model::{Actor, Organization},
};

/// The key of the partner account that owns [`OWNER_ORGANIZATION`].
pub const PARTNER_KEY: &str = "sandbox-partner-key";
/// The key of another partner account, which owns [`OTHER_ORGANIZATION`].
pub const OTHER_PARTNER_KEY: &str = "sandbox-other-partner-key";
/// The key of a user of [`OWNER_ORGANIZATION`].
pub const USER_KEY: &str = "sandbox-user-key";
/// The key of the child organization [`FIRST_CHILD_ORGANIZATION`] itself.
pub const ORGANIZATION_KEY: &str = "sandbox-organization-key";

/// The ID that Polytomic's pages use for everything: here the partner's owner
/// organization, a connection of it, and the one shared copy of that.
pub const DOCUMENTED_ID: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";

/// The organization that owns the partner account and its parent connections.
pub const OWNER_ORGANIZATION: &str = DOCUMENTED_ID;
/// The name of [`OWNER_ORGANIZATION`].
pub const OWNER_ORGANIZATION_NAME: &str = "Acme Analytics";
/// A child organization, which holds a copy of [`SHARED_CONNECTION`].
pub const FIRST_CHILD_ORGANIZATION: &str = "5b0c6a5e-3f0d-4c1b-9d52-7a1f0e6b2c01";
/// The name of [`FIRST_CHILD_ORGANIZATION`].
pub const FIRST_CHILD_ORGANIZATION_NAME: &str = "Bluebird Books";
/// A child organization, which holds the other copy of [`SHARED_CONNECTION`].
pub const SECOND_CHILD_ORGANIZATION: &str = "8e1d7f42-6b9a-4e35-8c77-2f4d9a0b3c02";
/// The name of [`SECOND_CHILD_ORGANIZATION`].
pub const SECOND_CHILD_ORGANIZATION_NAME: &str = "Harbour Coffee";
/// A child organization with which nothing is shared.
pub const THIRD_CHILD_ORGANIZATION: &str = "c2f39b18-0a64-4d7c-b1e9-5d8c6e7f4d03";
/// The name of [`THIRD_CHILD_ORGANIZATION`].
pub const THIRD_CHILD_ORGANIZATION_NAME: &str = "Juniper Health";
/// The organization of another partner account.
pub const OTHER_ORGANIZATION: &str = "f7a84c60-91d3-4b2e-a5f8-6c3b1d9e5e04";
/// The name of [`OTHER_ORGANIZATION`].
pub const OTHER_ORGANIZATION_NAME: &str = "Elsewhere Labs";

/// The connection of the documented examples, with its one documented copy.
pub const DOCUMENTED_CONNECTION: &str = DOCUMENTED_ID;
/// The name of [`DOCUMENTED_CONNECTION`].
pub const DOCUMENTED_CONNECTION_NAME: &str = "My Postgres Connection";
/// A `PostgreSQL` connection of [`OWNER_ORGANIZATION`] that is not shared yet.
pub const UNSHARED_CONNECTION: &str = "1d6f0b7a-52c8-4f93-9e0b-48a7c3d2f105";
/// The name of [`UNSHARED_CONNECTION`].
pub const UNSHARED_CONNECTION_NAME: &str = "Orders Database";
/// A Snowflake connection of [`OWNER_ORGANIZATION`] with two shared copies.
pub const SHARED_CONNECTION: &str = "2e7a1c8b-63d9-4a04-8f1c-59b8d4e3a206";
/// The name of [`SHARED_CONNECTION`].
pub const SHARED_CONNECTION_NAME: &str = "Product Warehouse";
/// The copy of [`SHARED_CONNECTION`] in [`FIRST_CHILD_ORGANIZATION`].
pub const FIRST_COPY: &str = "3f8b2d9c-74ea-4b15-902d-6ac9e5f4b307";
/// The copy of [`SHARED_CONNECTION`] in [`SECOND_CHILD_ORGANIZATION`], with
/// `null` wherever the API allows it.
pub const SECOND_COPY: &str = "409c3ead-85fb-4c26-a13e-7bdaf605c408";
/// The name of [`SECOND_COPY`]; [`FIRST_COPY`] has that of its parent.
pub const SECOND_COPY_NAME: &str = "Harbour Warehouse";
/// A connection that [`FIRST_CHILD_ORGANIZATION`] made for itself.
pub const CHILD_CONNECTION: &str = "51ad4fbe-960c-4d37-b24f-8ceb0716d509";
/// The name of [`CHILD_CONNECTION`].
pub const CHILD_CONNECTION_NAME: &str = "Bluebird CRM";
/// A connection of [`OTHER_ORGANIZATION`].
pub const OTHER_CONNECTION: &str = "62be50cf-a71d-4e48-8350-9dfc1827e60a";
/// The name of [`OTHER_CONNECTION`].
pub const OTHER_CONNECTION_NAME: &str = "Elsewhere Bucket";

/// A connection ID whose requests get no response.
pub const NEVER_ANSWERED: &str = "00000000-0000-4000-8000-000000000001";
/// A connection ID whose requests get their connection reset before a response.
pub const RESET: &str = "00000000-0000-4000-8000-000000000002";
/// A connection ID whose requests get half a JSON, then a closed connection.
pub const HALF_ANSWERED: &str = "00000000-0000-4000-8000-000000000003";
/// A connection ID whose requests get `200 OK` and `{}`.
pub const EMPTY_OBJECT: &str = "00000000-0000-4000-8000-000000000004";
/// A connection ID whose requests get `200 OK` and an HTML page.
pub const HTML_PAGE: &str = "00000000-0000-4000-8000-000000000200";

/// Returns the connection ID whose requests always get `status`: one in the table of
/// failures in [the module](super#failures-on-demand).
#[must_use]
pub fn failing_connection(status: u16) -> String {
    format!("00000000-0000-4000-8000-{status:012}")
}

/// What the ID of a connection with a long list begins with.
pub(super) const LONG_LIST: &str = "00000000-0000-4000-9000-";

/// Returns the ID of a connection whose list of shared copies has this length, of up to
/// 999,999.
#[must_use]
pub fn connection_with_copies(number: u32) -> String {
    format!("{LONG_LIST}{number:012}")
}

const USER: Actor = Actor {
    id: uuid!("12345678-1234-1234-1234-123456789012"),
    name: "John Doe",
    class: "user",
};

/// The time of every share that is not seeded: a clock would make two runs differ.
pub(super) const SHARED_AT: &str = "2025-09-18T12:00:00Z";

/// The email of the user of [`USER_KEY`].
pub(super) const USER_EMAIL: &str = "mail@example.com";
/// The ID of the user of [`USER_KEY`].
pub(super) const USER_ID: Uuid = USER.id;

/// Lists every key with whom it stands for.
pub(super) fn keys() -> Vec<(&'static str, Client)> {
    let client = |name, class, organization| Client { name, class, organization };
    let owner = uuid!(OWNER_ORGANIZATION);
    let child = uuid!(FIRST_CHILD_ORGANIZATION);
    let other = uuid!(OTHER_ORGANIZATION);
    vec![
        (PARTNER_KEY, client("partner", Class::Partner, owner)),
        (OTHER_PARTNER_KEY, client("other-partner", Class::Partner, other)),
        (USER_KEY, client("user", Class::User, owner)),
        (ORGANIZATION_KEY, client("organization", Class::Organization, child)),
    ]
}

/// Lists the partner accounts, each with its owner organization first.
pub(super) fn accounts() -> Vec<Vec<Organization>> {
    let organization = |id, name, sso_domain| Organization { id, name, sso_domain };
    let owner = uuid!(OWNER_ORGANIZATION);
    let first = uuid!(FIRST_CHILD_ORGANIZATION);
    let second = uuid!(SECOND_CHILD_ORGANIZATION);
    let third = uuid!(THIRD_CHILD_ORGANIZATION);
    let other = uuid!(OTHER_ORGANIZATION);
    vec![
        vec![
            organization(owner, OWNER_ORGANIZATION_NAME, Some("example.com")),
            organization(first, FIRST_CHILD_ORGANIZATION_NAME, None),
            organization(second, SECOND_CHILD_ORGANIZATION_NAME, None),
            organization(third, THIRD_CHILD_ORGANIZATION_NAME, None),
        ],
        vec![organization(other, OTHER_ORGANIZATION_NAME, None)],
    ]
}
