//! The routes and what they do.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{FromRequestParts, Path, State},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    caller::{Caller, Class, Member, Partner, authenticate},
    exchange::exchange,
    failures, faults, idempotency,
    model::{Actor, Connection, Data, Identity, Organization},
    refusal::ErrorResponse,
    seed, version,
    world::World,
};

/// Builds the API.
///
/// Faults befall a request outside of `idempotency::once`, so that what is lost
/// or delayed is an answer that was recorded; but a create is kept in flight
/// inside of it.
pub(super) fn router(world: &Arc<World>) -> Router {
    let shared = Router::new()
        .route(
            "/api/organizations/{org_id}/connections/{connection_id}/shared",
            get(list_shared).post(share),
        )
        .route_layer(from_fn(faults::linger))
        .route_layer(from_fn_with_state(Arc::clone(world), idempotency::once))
        .route_layer(from_fn(version::only_latest))
        .route_layer(from_fn_with_state(Arc::clone(world), faults::befall));
    Router::new()
        .route("/api/me", get(me))
        .route("/api/organization", get(current_organization))
        .route("/api/organizations", get(organizations))
        .route("/api/organizations/{id}", get(organization))
        .route("/api/connections", get(connections))
        .route("/api/connections/{id}", get(connection))
        .route("/api/connections/{id}/shared", get(list_shared_by_owner))
        .merge(shared)
        .route_layer(from_fn_with_state(Arc::clone(world), authenticate))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(world), exchange))
        .with_state(Arc::clone(world))
}

async fn unknown_route() -> ErrorResponse {
    ErrorResponse::unknown_route()
}

async fn wrong_method() -> ErrorResponse {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    ErrorResponse::new(status, "method_not_allowed", "this endpoint has no such method")
}

type Connections = Json<Data<Option<Vec<Arc<Connection>>>>>;

/// Lists the shared copies of a partner's connection.
async fn list_shared(
    State(world): State<Arc<World>>,
    Partner(partner): Partner,
    Ids([organization, connection]): Ids<2>,
) -> Result<Response, ErrorResponse> {
    if let Some(failure) = failure(partner, &Method::GET, organization, connection) {
        return Ok(failure);
    }
    let parent = world.directory.parent(partner, organization, connection)?;
    let copies = world.directory.copies_of(parent.id);
    Ok(Json(Data { data: copies }).into_response())
}

/// The body of a create.
#[derive(Deserialize)]
struct Share {
    child_organization_id: Option<String>,
    name: Option<String>,
}

/// The answer of a create.
#[derive(Serialize)]
struct Shared {
    id: Uuid,
}

/// Shares a partner's connection with an organization of its account.
async fn share(
    State(world): State<Arc<World>>,
    Partner(partner): Partner,
    Ids([organization, connection]): Ids<2>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ErrorResponse> {
    if let Some(failure) = failure(partner, &Method::POST, organization, connection) {
        return Ok(failure);
    }
    let directory = &world.directory;
    let parent = directory.parent(partner, organization, connection)?;
    let Share { child_organization_id, name } = read_json(&headers, &body)?;
    let Some(child) = child_organization_id else {
        return Err(ErrorResponse::unprocessable("child_organization_id is required"));
    };
    let child =
        directory.organization_of(partner, id("child_organization_id", &child)?)?;
    if parent.parent_connection_id.is_some() {
        return Err(ErrorResponse::unprocessable("a shared copy cannot be shared"));
    }
    if parent.organization_id != partner.organization {
        let message = "the connection must be in the partner's owner organization";
        return Err(ErrorResponse::unprocessable(message));
    }
    let owner = directory.organization_of(partner, partner.organization)?;
    let by = Actor { id: owner.id, name: owner.name, class: "partner" };
    let name = name.filter(|name| !name.is_empty());
    let id = directory.share(&parent, child.id, name, by);
    Ok(Json(Data { data: Shared { id } }).into_response())
}

/// Failures are found where a partner's own connections are.
fn failure(
    partner: Caller,
    method: &Method,
    organization: Uuid,
    connection: Uuid,
) -> Option<Response> {
    if organization != partner.organization {
        return None;
    }
    failures::answer(method, connection)
}

/// Tells whose the key is.
async fn me(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Data<Identity>>, ErrorResponse> {
    let organization = home(&world, caller)?;
    let user = caller.class == Class::User;
    let data = Identity {
        email: user.then_some(seed::USER_EMAIL),
        id: user.then_some(seed::USER_ID),
        is_organization: caller.class == Class::Organization,
        is_partner: caller.class == Class::Partner,
        is_system: false,
        is_user: user,
        organization_id: organization.id,
        organization_name: organization.name,
        role: user.then_some("admin"),
    };
    Ok(Json(Data { data }))
}

async fn current_organization(
    State(world): State<Arc<World>>,
    Member(member): Member,
) -> Result<Json<Data<Organization>>, ErrorResponse> {
    Ok(Json(Data { data: home(&world, member)? }))
}

async fn organizations(
    State(world): State<Arc<World>>,
    Partner(partner): Partner,
) -> Json<Data<Vec<Organization>>> {
    Json(Data { data: world.directory.account(partner).to_vec() })
}

async fn organization(
    State(world): State<Arc<World>>,
    Partner(partner): Partner,
    Ids([organization]): Ids<1>,
) -> Result<Json<Data<Organization>>, ErrorResponse> {
    let organization = world.directory.organization_of(partner, organization)?;
    Ok(Json(Data { data: *organization }))
}

async fn connections(
    State(world): State<Arc<World>>,
    Member(member): Member,
) -> Connections {
    Json(Data { data: world.directory.connections_of(member.organization) })
}

async fn connection(
    State(world): State<Arc<World>>,
    Member(member): Member,
    Ids([connection]): Ids<1>,
) -> Result<Json<Data<Arc<Connection>>>, ErrorResponse> {
    let data = world.directory.connection(member.organization, connection)?;
    Ok(Json(Data { data }))
}

/// Lists the shared copies of a connection of the caller's own organization.
async fn list_shared_by_owner(
    State(world): State<Arc<World>>,
    Member(member): Member,
    Ids([connection]): Ids<1>,
) -> Result<Connections, ErrorResponse> {
    let parent = world.directory.connection(member.organization, connection)?;
    Ok(Json(Data { data: world.directory.copies_of(parent.id) }))
}

fn home(world: &World, caller: Caller) -> Result<Organization, ErrorResponse> {
    let home = world.directory.organization(caller.organization).copied();
    home.ok_or_else(|| ErrorResponse::not_found("organization not found"))
}

fn read_json<'a, T: Deserialize<'a>>(
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<T, ErrorResponse> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = content_type.unwrap_or_default().split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"application/json") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let message = "Content-Type must be application/json";
        return Err(ErrorResponse::new(status, "unsupported_media_type", message));
    }
    serde_json::from_slice(body).map_err(|error| {
        ErrorResponse::bad_request(format!("the body is malformed: {error}"))
    })
}

/// The ids of a path, in its order.
struct Ids<const N: usize>([Uuid; N]);

impl<const N: usize, S: Send + Sync> FromRequestParts<S> for Ids<N> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Self, ErrorResponse> {
        let malformed = || ErrorResponse::unprocessable("the path is malformed");
        let Path(raw) = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| malformed())?;
        let ids: Vec<Uuid> =
            raw.iter().map(|(name, raw)| id(name, raw)).collect::<Result<_, _>>()?;
        ids.try_into().map(Self).map_err(|_| malformed())
    }
}

/// Reads a UUID in its usual, hyphenated form only.
fn id(name: &str, raw: &str) -> Result<Uuid, ErrorResponse> {
    let hyphenated = raw.len() == uuid::fmt::Hyphenated::LENGTH;
    Uuid::try_parse(raw)
        .ok()
        .filter(|_| hyphenated)
        .ok_or_else(|| ErrorResponse::unprocessable(format!("{name} must be a UUID")))
}
