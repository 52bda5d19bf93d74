//! Clients: their bearer keys, the classes of keys, and what a class may do.

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use uuid::Uuid;

use super::error_response::ErrorResponse;

/// The owner of a key, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The name of the key in logs.
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// The client's organization; for a partner, the owner of its account.
    pub(super) organization: Uuid,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    User,
    Organization,
    Partner,
}

/// Returns the key of the one `authorization` header, if it is a bearer's.
pub(super) fn bearer_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let only = values.next()?;
    if values.next().is_some() {
        return None;
    }
    key_of(only)
}

/// Returns the key in an `authorization` value, if it is a bearer's.
pub(super) fn key_of(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A client with a partner key.
pub(super) struct Partner(pub(super) Client);

impl<S: Sync> FromRequestParts<S> for Partner {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let client = client(parts)?;
        if client.class != Class::Partner {
            return Err(ErrorResponse::forbidden("a partner key is required"));
        }
        Ok(Self(client))
    }
}

/// A client with the key of an organization or of one of its users.
pub(super) struct Member(pub(super) Client);

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let client = client(parts)?;
        if client.class == Class::Partner {
            return Err(ErrorResponse::forbidden(
                "a user or organization key is required",
            ));
        }
        Ok(Self(client))
    }
}

fn client(parts: &Parts) -> Result<Client, ErrorResponse> {
    parts.extensions.get::<Client>().copied().ok_or_else(ErrorResponse::unauthorized)
}
