//! The routes and their handlers.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{FromRequestParts, Path, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    client::{Class, Client, Member, Partner},
    error_response::ErrorResponse,
    exchange::exchange,
    failures, idempotency, long_list,
    model::{Actor, Connection, Data, Identity, Organization},
    seed,
    state::SandboxState,
    version,
};

/// Builds the API.
pub(super) fn router(state: &Arc<SandboxState>) -> Router {
    Router::new()
        .route("/api/me", get(me))
        .route("/api/organization", get(current_organization))
        .route("/api/organizations", get(organizations))
        .route("/api/organizations/{id}", get(organization))
        .route("/api/connections", get(connections))
        .route("/api/connections/{id}", get(connection))
        .route("/api/connections/{id}/shared", get(list_shared_by_owner))
        .merge(partner_routes(state))
        .route_layer(from_fn_with_state(Arc::clone(state), authenticate))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(state), exchange))
        .with_state(Arc::clone(state))
}

/// Builds the two partner endpoints, the only ones that honour `Idempotency-Key`
/// and that faults are injected into.
///
/// A fault is outside of the key, so that a lost or delayed response is one that was
/// recorded. Only [`faults::hold_key`](super::faults::hold_key) is inside of it.
fn partner_routes(state: &Arc<SandboxState>) -> Router<Arc<SandboxState>> {
    let routes = Router::new().route(
        "/api/organizations/{org_id}/connections/{connection_id}/shared",
        get(list_shared).post(share),
    );
    #[cfg(feature = "testing")]
    let routes = routes.route_layer(from_fn(super::faults::hold_key));
    let outcomes = Arc::clone(&state.outcomes);
    let routes = routes
        .route_layer(from_fn_with_state(outcomes, idempotency::once))
        .route_layer(from_fn(version::only_latest));
    #[cfg(feature = "testing")]
    let routes = routes.route_layer(from_fn_with_state(
        (Arc::clone(&state.faults), state.in_flight.clone()),
        super::faults::inject_fault,
    ));
    routes
}

/// Rejects a request without a known key, and adds its [`Client`].
async fn authenticate(
    State(state): State<Arc<SandboxState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(client) = state.directory.client(request.headers()) else {
        return ErrorResponse::unauthorized().into_response();
    };
    request.extensions_mut().insert(client);
    next.run(request).await
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
    State(state): State<Arc<SandboxState>>,
    Partner(partner): Partner,
    Ids([organization, connection]): Ids<2>,
) -> Result<Response, ErrorResponse> {
    if let Some(failure) = failure(partner, &Method::GET, organization, connection) {
        return Ok(failure);
    }
    if organization == partner.organization
        && let Some(list) = long_list::response(connection)
    {
        return Ok(list);
    }
    let parent = state.directory.parent(partner, organization, connection)?;
    let copies = state.directory.copies_of(parent.id);
    Ok(Json(Data { data: copies }).into_response())
}

/// The body of a create.
#[derive(Deserialize)]
struct Share {
    child_organization_id: Option<String>,
    name: Option<String>,
}

/// The response to a create.
#[derive(Serialize)]
struct Shared {
    id: Uuid,
}

/// Shares a partner's connection with an organization of its account.
async fn share(
    State(state): State<Arc<SandboxState>>,
    Partner(partner): Partner,
    Ids([organization, connection]): Ids<2>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ErrorResponse> {
    if let Some(failure) = failure(partner, &Method::POST, organization, connection) {
        return Ok(failure);
    }
    let directory = &state.directory;
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

/// Returns the failure of a connection in the partner's owner organization.
fn failure(
    partner: Client,
    method: &Method,
    organization: Uuid,
    connection: Uuid,
) -> Option<Response> {
    if organization != partner.organization {
        return None;
    }
    failures::response(method, connection)
}

/// Returns the owner of the key.
async fn me(
    State(state): State<Arc<SandboxState>>,
    Extension(client): Extension<Client>,
) -> Result<Json<Data<Identity>>, ErrorResponse> {
    let organization = home(&state, client)?;
    let user = client.class == Class::User;
    let data = Identity {
        email: user.then_some(seed::USER_EMAIL),
        id: user.then_some(seed::USER_ID),
        is_organization: client.class == Class::Organization,
        is_partner: client.class == Class::Partner,
        is_system: false,
        is_user: user,
        organization_id: organization.id,
        organization_name: organization.name,
        role: user.then_some("admin"),
    };
    Ok(Json(Data { data }))
}

async fn current_organization(
    State(state): State<Arc<SandboxState>>,
    Member(member): Member,
) -> Result<Json<Data<Organization>>, ErrorResponse> {
    Ok(Json(Data { data: home(&state, member)? }))
}

async fn organizations(
    State(state): State<Arc<SandboxState>>,
    Partner(partner): Partner,
) -> Json<Data<Vec<Organization>>> {
    Json(Data { data: state.directory.account(partner).to_vec() })
}

async fn organization(
    State(state): State<Arc<SandboxState>>,
    Partner(partner): Partner,
    Ids([organization]): Ids<1>,
) -> Result<Json<Data<Organization>>, ErrorResponse> {
    let organization = state.directory.organization_of(partner, organization)?;
    Ok(Json(Data { data: *organization }))
}

async fn connections(
    State(state): State<Arc<SandboxState>>,
    Member(member): Member,
) -> Connections {
    Json(Data { data: state.directory.connections_of(member.organization) })
}

async fn connection(
    State(state): State<Arc<SandboxState>>,
    Member(member): Member,
    Ids([connection]): Ids<1>,
) -> Result<Json<Data<Arc<Connection>>>, ErrorResponse> {
    let data = state.directory.connection(member.organization, connection)?;
    Ok(Json(Data { data }))
}

/// Lists the shared copies of a connection of the client's own organization.
async fn list_shared_by_owner(
    State(state): State<Arc<SandboxState>>,
    Member(member): Member,
    Ids([connection]): Ids<1>,
) -> Result<Connections, ErrorResponse> {
    let parent = state.directory.connection(member.organization, connection)?;
    Ok(Json(Data { data: state.directory.copies_of(parent.id) }))
}

fn home(state: &SandboxState, client: Client) -> Result<Organization, ErrorResponse> {
    let home = state.directory.organization(client.organization).copied();
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

/// The IDs of a path, in its order.
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

/// Parses a UUID in its hyphenated form only.
fn id(name: &str, raw: &str) -> Result<Uuid, ErrorResponse> {
    let hyphenated = raw.len() == uuid::fmt::Hyphenated::LENGTH;
    Uuid::try_parse(raw)
        .ok()
        .filter(|_| hyphenated)
        .ok_or_else(|| ErrorResponse::unprocessable(format!("{name} must be a UUID")))
}
