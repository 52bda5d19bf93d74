//! Who calls: the bearer key, its class, and what that class may do.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use uuid::Uuid;

use super::{refusal::ErrorResponse, world::World};

/// The holder of a key, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What the logs call the key.
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// The caller's organization; for a partner, the owner of its account.
    pub(super) organization: Uuid,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    User,
    Organization,
    Partner,
}

/// Lets a request pass only with a known key, and notes whose it is.
pub(super) async fn authenticate(
    State(world): State<Arc<World>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = world.directory.caller(request.headers()) else {
        return ErrorResponse::unauthorized().into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
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

/// A caller with a partner key.
pub(super) struct Partner(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Partner {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let caller = caller(parts)?;
        if caller.class != Class::Partner {
            return Err(ErrorResponse::forbidden("a partner key is required"));
        }
        Ok(Self(caller))
    }
}

/// A caller with the key of an organization or of one of its users.
pub(super) struct Member(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let caller = caller(parts)?;
        if caller.class == Class::Partner {
            return Err(ErrorResponse::forbidden(
                "a user or organization key is required",
            ));
        }
        Ok(Self(caller))
    }
}

fn caller(parts: &Parts) -> Result<Caller, ErrorResponse> {
    parts.extensions.get::<Caller>().copied().ok_or_else(ErrorResponse::unauthorized)
}
