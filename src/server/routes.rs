//! Which service a request is for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep};
use tonic::{body::Body, service::Routes as Services};
use tonic_reflection::server::Builder as Reflection;
use tower::ServiceExt;

use super::{
    arriving::{Arriving, Place},
    health::Health,
    paced::Paced,
    rpc,
};
use crate::{
    gateway::{self, Gateway},
    status::Failure,
};

/// How many places there are for requests that are arriving. The services beside
/// the table have their own, so that a flood of one kind is not felt by the
/// other.
const PLACES: usize = 1024;
const PLACES_BESIDE: usize = 256;

/// Health, each RPC of which takes one message.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// How often the gateway's own credentials are looked for until they are there.
const READINESS_POLL: Duration = Duration::from_millis(500);

/// The RPCs of the table, and the services about the server itself: health and
/// reflection.
#[derive(Debug, Clone)]
pub struct Routes {
    gateway: Arc<Gateway>,
    services: Services,
    health: Health,
    arriving: Arriving,
    beside: Arriving,
}

impl Routes {
    /// Serves a gateway, and the descriptors that its contract was compiled
    /// from by reflection.
    ///
    /// # Errors
    ///
    /// If the descriptors cannot be read.
    pub async fn new(
        gateway: Gateway,
        descriptor_set: &[u8],
    ) -> Result<Self, tonic_reflection::server::Error> {
        let health = Health::of(gateway.contract().services()).await;
        // google.rpc is there for the error details, which clients such as
        // grpcurl can decode only if they can look them up.
        let reflection = || {
            Reflection::configure()
                .register_encoded_file_descriptor_set(descriptor_set)
                .register_encoded_file_descriptor_set(
                    tonic_types::pb::FILE_DESCRIPTOR_SET,
                )
                .register_encoded_file_descriptor_set(
                    tonic_health::pb::FILE_DESCRIPTOR_SET,
                )
        };
        let gateway = Arc::new(gateway);
        let unknown = async |metadata: HeaderMap| {
            gateway::refuse(&metadata, Failure::UnknownRpc)
                .into_http::<axum::body::Body>()
        };
        let services = Services::from(axum::Router::new().fallback(unknown))
            .add_service(health.service())
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .prepare();
        let arriving = Arriving::with(PLACES);
        let beside = Arriving::with(PLACES_BESIDE);
        Ok(Self { gateway, services, health, arriving, beside })
    }

    /// Returns what is told of the server's health.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Says `NOT_SERVING` for as long as the gateway lacks a credential of its own.
    pub(super) async fn tell_readiness(self) {
        if self.gateway.is_ready() {
            return;
        }
        self.health.set_not_serving().await;
        while !self.gateway.is_ready() {
            sleep(READINESS_POLL).await;
        }
        self.health.set_serving().await;
    }

    /// Returns the same for another connection.
    pub(super) fn on_connection(&self) -> Self {
        let arriving = self.arriving.on_connection();
        let beside = self.beside.on_connection();
        Self { arriving, beside, ..self.clone() }
    }

    /// Answers one request. What waits for the rest of a request is small, the
    /// futures that come after it are boxed.
    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let arrived = Instant::now();
        let rpc = self.gateway.contract().rpc(request.uri().path());
        let arriving = if rpc.is_some() { &self.arriving } else { &self.beside };
        let Some(place) = arriving.enter() else {
            let overloaded = Failure::Overloaded { retry_after: rpc::RETRY_AFTER };
            return gateway::refuse(request.headers(), overloaded).into_http();
        };
        if !is_grpc(&request) {
            // An answer ahead of its request's end can get lost with it.
            let _ = rpc::receive(request.into_body(), place, rpc::REQUEST_TIMEOUT).await;
            return unsupported_media_type();
        }
        if rpc.is_none() && !request.uri().path().starts_with(HEALTH) {
            return Box::pin(self.stream(request, place)).await;
        }
        let (parts, body) = request.into_parts();
        let patience = rpc::patience(&parts.headers);
        match rpc::receive(body, place, patience).await.and_then(rpc::framed) {
            Ok(body) => {
                let request = Request::from_parts(parts, body);
                let Some(rpc) = rpc else {
                    let request = request.map(|body| Body::new(Full::new(body)));
                    return Box::pin(self.ask(request)).await;
                };
                let (gateway, rpc) = (Arc::clone(&self.gateway), Arc::clone(rpc));
                Box::pin(rpc::serve(gateway, rpc, arrived, request)).await
            }
            Err(failure) => gateway::refuse(&parts.headers, failure).into_http(),
        }
    }

    /// Answers a stream of requests while it comes: reflection. One for a service
    /// that is not known is refused unread.
    async fn stream(&self, request: Request<Incoming>, place: Place) -> Response<Body> {
        let (most, pause) = (rpc::REQUEST_LIMIT, rpc::REQUEST_TIMEOUT);
        let paced = |body| Body::new(Paced::new(body, place, most, pause));
        self.ask(request.map(paced)).await
    }

    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let response = self.services.clone().oneshot(request).await;
        response.unwrap_or_else(|never: Infallible| match never {})
    }
}

/// Tells `application/grpc`, alone or with a message format, as gRPC has it
/// (PROTOCOL-HTTP2, "Content-Type"). Only protobuf is spoken here.
fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type =
        request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(essence.trim_ascii(), b"application/grpc" | b"application/grpc+proto")
}

fn unsupported_media_type() -> Response<Body> {
    let text = "This server speaks gRPC, and nothing else.\n".to_owned();
    let mut response = Response::new(Body::new(text));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/grpc"));
    response
}
