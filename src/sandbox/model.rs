//! The JSON objects of Polytomic's responses.
//!
//! Fields have the order of the documented examples. An absent field is left out;
//! it is `null` only where the API documents that.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// The envelope of every success.
#[derive(Debug, Serialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

/// `ConnectionResponseSchema`: a connection, or a shared copy of one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connection {
    pub(super) api_calls_last_24_hours: Option<u64>,
    pub(super) configuration: Option<Value>,
    pub(super) created_at: &'static str,
    pub(super) created_by: Actor,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) organization_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_connection_id: Option<Uuid>,
    pub(super) policies: Vec<Uuid>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) saved: bool,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_error: Option<&'static str>,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) updated_at: &'static str,
    pub(super) updated_by: Actor,
}

/// The rate limit of the connected service, as observed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RateLimit {
    pub(super) currently_limited: bool,
    pub(super) expires_at: Option<&'static str>,
    pub(super) limited_since: Option<&'static str>,
}

/// `OutputActor`: the creator or last editor of an object.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Actor {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    #[serde(rename = "type")]
    pub(super) class: &'static str,
}

/// `ConnectionTypeSchema`: the kind of system a connection leads to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Kind {
    pub(super) id: &'static str,
    pub(super) logo_dark_url: &'static str,
    pub(super) logo_url: &'static str,
    pub(super) name: &'static str,
    pub(super) operations: Option<&'static [&'static str]>,
}

/// `Organization`: an organization of a partner account.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Organization {
    pub(super) id: Uuid,
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sso_domain: Option<&'static str>,
}

/// `GetIdentityResponseSchema`: the response to `GET /api/me`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "Polytomic's response has four")]
pub(super) struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Uuid>,
    pub(super) is_organization: bool,
    pub(super) is_partner: bool,
    pub(super) is_system: bool,
    pub(super) is_user: bool,
    pub(super) organization_id: Uuid,
    pub(super) organization_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
}
