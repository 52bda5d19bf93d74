//! The connections that a sandbox starts with, and their shared copies.

use serde_json::json;
use uuid::{Uuid, uuid};

use super::{
    CHILD_CONNECTION, CHILD_CONNECTION_NAME, DOCUMENTED_CONNECTION_NAME, DOCUMENTED_ID,
    FIRST_CHILD_ORGANIZATION, FIRST_COPY, OTHER_CONNECTION, OTHER_CONNECTION_NAME,
    OTHER_ORGANIZATION, OWNER_ORGANIZATION, OWNER_ORGANIZATION_NAME,
    SECOND_CHILD_ORGANIZATION, SECOND_COPY, SECOND_COPY_NAME, SHARED_AT,
    SHARED_CONNECTION, SHARED_CONNECTION_NAME, UNSHARED_CONNECTION,
    UNSHARED_CONNECTION_NAME, USER,
};
use crate::sandbox::model::{Actor, Connection, Kind, RateLimit};

const DOCUMENTED_AT: &str = "2024-01-15T09:30:00Z";
const SEEDED_AT: &str = "2025-09-18T08:00:00Z";

/// The creator of the seeded copies: only a partner can share.
const PARTNER: Actor = Actor {
    id: uuid!(OWNER_ORGANIZATION),
    name: OWNER_ORGANIZATION_NAME,
    class: "partner",
};

const POSTGRESQL: Kind = Kind {
    id: "postgresql",
    logo_dark_url: "https://connect-assets.polytomic.com/logos/postgresql-dark.svg",
    logo_url: "https://connect-assets.polytomic.com/logos/postgresql.svg",
    name: "PostgreSQL",
    operations: Some(&["bulksyncsource"]),
};
const SNOWFLAKE: Kind = Kind {
    id: "snowflake",
    logo_dark_url: "https://connect-assets.polytomic.com/logos/snowflake-dark.svg",
    logo_url: "https://connect-assets.polytomic.com/logos/snowflake.svg",
    name: "Snowflake",
    operations: Some(&["bulksyncsource", "bulksyncdestination"]),
};
const HUBSPOT: Kind = Kind {
    id: "hubspot",
    logo_dark_url: "https://connect-assets.polytomic.com/logos/hubspot-dark.svg",
    logo_url: "https://connect-assets.polytomic.com/logos/hubspot.svg",
    name: "HubSpot",
    operations: Some(&["bulksyncsource"]),
};
const S3: Kind = Kind {
    id: "s3",
    logo_dark_url: "https://connect-assets.polytomic.com/logos/s3-dark.svg",
    logo_url: "https://connect-assets.polytomic.com/logos/s3.svg",
    name: "S3",
    operations: None,
};

const NOT_LIMITED: RateLimit =
    RateLimit { currently_limited: false, expires_at: None, limited_since: None };

/// Lists the connections that are not copies.
pub(in crate::sandbox) fn connections() -> Vec<Connection> {
    let owner = uuid!(OWNER_ORGANIZATION);
    let child = uuid!(FIRST_CHILD_ORGANIZATION);
    let other = uuid!(OTHER_ORGANIZATION);
    let crm = ordinary(uuid!(CHILD_CONNECTION), child, CHILD_CONNECTION_NAME, HUBSPOT);
    let bucket = ordinary(uuid!(OTHER_CONNECTION), other, OTHER_CONNECTION_NAME, S3);
    let unshared =
        ordinary(uuid!(UNSHARED_CONNECTION), owner, UNSHARED_CONNECTION_NAME, POSTGRESQL);
    vec![
        documented_connection(),
        Connection {
            configuration: Some(json!({
                "database": "orders",
                "hostname": "orders.db.example.com",
                "password": "********",
                "port": 5432,
                "ssl": true,
                "username": "polytomic",
            })),
            ..unshared
        },
        warehouse(),
        Connection {
            api_calls_last_24_hours: Some(184),
            configuration: Some(json!({ "oauth_refresh_token": "********" })),
            ..crm
        },
        Connection {
            configuration: Some(json!({
                "aws_access_key_id": "********",
                "aws_secret_access_key": "********",
                "s3_bucket_name": "elsewhere-exports",
                "s3_bucket_region": "eu-west-1",
            })),
            ..bucket
        },
    ]
}

/// Lists the shared copies in the order in which they were made.
pub(in crate::sandbox) fn copies() -> Vec<Connection> {
    let documented = documented_connection();
    let warehouse = warehouse();
    let first = Connection {
        id: uuid!(FIRST_COPY),
        organization_id: uuid!(FIRST_CHILD_ORGANIZATION),
        parent_connection_id: Some(warehouse.id),
        created_by: PARTNER,
        rate_limit: Some(RateLimit {
            currently_limited: true,
            expires_at: Some("2025-09-18T12:01:00Z"),
            limited_since: Some(SHARED_AT),
        }),
        updated_by: PARTNER,
        ..warehouse
    };
    let second = Connection {
        api_calls_last_24_hours: None,
        configuration: None,
        id: uuid!(SECOND_COPY),
        name: SECOND_COPY_NAME.to_owned(),
        organization_id: uuid!(SECOND_CHILD_ORGANIZATION),
        policies: Vec::new(),
        rate_limit: None,
        kind: Kind { operations: None, ..SNOWFLAKE },
        ..first.clone()
    };
    vec![
        Connection {
            parent_connection_id: Some(documented.id),
            status_error: Some("error message"),
            ..documented
        },
        first,
        second,
    ]
}

fn ordinary(id: Uuid, organization_id: Uuid, name: &str, kind: Kind) -> Connection {
    Connection {
        api_calls_last_24_hours: None,
        configuration: None,
        created_at: SEEDED_AT,
        created_by: USER,
        id,
        name: name.to_owned(),
        organization_id,
        parent_connection_id: None,
        policies: Vec::new(),
        rate_limit: Some(NOT_LIMITED),
        saved: true,
        status: "healthy",
        status_error: None,
        kind,
        updated_at: SEEDED_AT,
        updated_by: USER,
    }
}

fn documented_connection() -> Connection {
    let id = uuid!(DOCUMENTED_ID);
    let connection = ordinary(id, id, DOCUMENTED_CONNECTION_NAME, POSTGRESQL);
    Connection {
        api_calls_last_24_hours: Some(2021),
        configuration: Some(json!({
            "database": "example",
            "hostname": "postgres.example.com",
            "password": "********",
            "port": 5432,
            "username": "user",
        })),
        created_at: DOCUMENTED_AT,
        policies: vec![id],
        updated_at: DOCUMENTED_AT,
        ..connection
    }
}

fn warehouse() -> Connection {
    let owner = uuid!(OWNER_ORGANIZATION);
    let id = uuid!(SHARED_CONNECTION);
    Connection {
        configuration: Some(json!({
            "account": "acme-eu1",
            "dbname": "PRODUCT",
            "key_pair_auth": false,
            "password": "********",
            "username": "POLYTOMIC",
            "warehouse": "SYNC_WH",
        })),
        policies: vec![uuid!("73cf61d0-b82e-4f59-9461-ae0d2938f70b")],
        ..ordinary(id, owner, SHARED_CONNECTION_NAME, SNOWFLAKE)
    }
}
