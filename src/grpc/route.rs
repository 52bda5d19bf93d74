//! Routes requests: to an RPC of the contract, to health or to reflection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use prost_reflect::DescriptorError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tower::ServiceExt;

use super::{
    Error, body, call,
    health::{self, Health},
    metadata,
    metrics::{self, Others},
    plain_http::not_grpc,
    reflection::Reflection,
    response::Body,
    unary,
};
use crate::{
    budget::{Capacities, Reservation},
    gateway::{self, CountedRpc, Gateway, RpcTotals},
    status::Failure,
    telemetry::Metrics,
};

/// Maximum time between two requests of a stream to reflection. A person reads the answer
/// in between.
const REFLECTION_IDLE: Duration = Duration::from_secs(60);

/// The interval at which the gateway checks whether its own credentials are loaded.
const READINESS_POLL: Duration = Duration::from_millis(500);

/// The RPCs of the contract, and the services about the server itself: health and
/// reflection.
#[derive(Debug)]
pub struct Routes {
    gateway: Gateway,
    health: Health,
    reflection: Reflection,
    others: Others,
    /// Cancelled when the server drains.
    closing: CancellationToken,
}

impl Routes {
    /// Returns the routes of a gateway. Reflection serves `descriptor_set`, from which
    /// the gateway's contract was compiled.
    ///
    /// # Errors
    ///
    /// If the descriptors cannot be read.
    pub async fn new(
        gateway: Gateway,
        descriptor_set: &[u8],
    ) -> Result<Self, DescriptorError> {
        let health = Health::of(gateway.contract().services()).await;
        let reflection = Reflection::new(descriptor_set)?;
        let others = Others::new(&gateway);
        let closing = CancellationToken::new();
        Ok(Self { gateway, health, reflection, others, closing })
    }

    /// Registers what is counted of RPCs.
    pub fn register(&self, metrics: &Metrics) {
        self.gateway.register(metrics, &self.others.all());
    }

    /// Returns what is counted of RPCs, for a person.
    #[must_use]
    pub fn totals(&self) -> Vec<RpcTotals> {
        let others = self.others.all();
        self.gateway.totals().chain(others.iter().map(|rpc| rpc.totals())).collect()
    }

    /// Returns the health that the server reports.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Ends the streams that clients leave open, which a drain would wait for: watches of
    /// health, and streams to reflection that wait for a request.
    pub(crate) async fn end_open_streams(&self) {
        self.closing.cancel();
        self.health.clone().close().await;
    }

    /// Sets health to `NOT_SERVING` until every credential of the gateway is loaded.
    pub(crate) async fn report_readiness(self: Arc<Self>) {
        if self.gateway.is_ready() {
            return;
        }
        self.health.set_not_serving().await;
        while !self.gateway.is_ready() {
            sleep(READINESS_POLL).await;
        }
        self.health.set_serving().await;
    }

    /// Reserves what the metadata of a request costs, or rejects the request.
    ///
    /// # Errors
    ///
    /// The response, if there is not as much.
    pub(crate) fn admit(
        &self,
        capacities: &Capacities,
        request: Request<Incoming>,
    ) -> Result<Box<Admitted>, Box<Response<Body>>> {
        let arrived = Instant::now();
        let path = request.uri().path();
        let mut size = metadata::size(request.uri(), request.headers());
        if Reflection::has(path) {
            // A stream is read while its responses are, if they are.
            size += metadata::TRAILERS;
        }
        match capacities.try_reserve_metadata(size) {
            // Boxed, or each future on the way to `serve` would have room for it.
            Ok(metadata) => Ok(Box::new(Admitted { arrived, metadata, request })),
            Err(exhausted) => Err(self
                .reject(capacities, path, request.headers(), arrived, exhausted)
                .into()),
        }
    }

    /// Serves one request. The future stays small while it waits for the rest of the
    /// request, because the futures of the later steps are boxed.
    pub(crate) async fn serve(
        &self,
        capacities: &Capacities,
        admitted: Box<Admitted>,
    ) -> Response<Body> {
        let Admitted { arrived, metadata, request } = *admitted;
        let rpc = self.gateway.contract().rpc(request.uri().path());
        let reservation = if rpc.is_some() {
            capacities.try_receive()
        } else {
            capacities.auxiliary.try_reserve()
        };
        let reservation = match reservation {
            Ok(reservation) => reservation,
            Err(exhausted) => {
                let (path, metadata) = (request.uri().path(), request.headers());
                return self.reject(capacities, path, metadata, arrived, exhausted);
            }
        };
        if let Some(response) = not_grpc(&request) {
            // A client can lose a response that is sent before its request has ended.
            let _ =
                unary::receive(request.into_body(), &reservation, unary::REQUEST_TIMEOUT)
                    .await;
            return response;
        }
        let path = request.uri().path();
        if Reflection::has(path) {
            let reserved = (reservation, metadata);
            return self.reflect(capacities, arrived, request, reserved);
        }
        if rpc.is_none() && !path.starts_with(health::PREFIX) {
            return self.reject(
                capacities,
                path,
                request.headers(),
                arrived,
                Error::UnknownRpc,
            );
        }
        let (parts, body) = request.into_parts();
        let receive_timeout = unary::receive_timeout(&parts.headers);
        let received = unary::receive(body, &reservation, receive_timeout).await;
        let unframed =
            received.and_then(|body| Ok((unary::message(&body, &parts.headers)?, body)));
        let (message, body) = match unframed {
            Ok(both) => both,
            Err(failure) => {
                let path = parts.uri.path();
                return self.reject(capacities, path, &parts.headers, arrived, failure);
            }
        };
        let Some(rpc) = rpc else {
            let request = Request::from_parts(parts, body);
            return Box::pin(self.check(capacities, arrived, request, reservation)).await;
        };
        let request = Request::from_parts(parts, message);
        let gateway = &self.gateway;
        Box::pin(call::serve(gateway, rpc, arrived, request, capacities, reservation))
            .await
    }

    /// Serves an RPC of health: one response, or a stream of them for `Watch`.
    async fn check(
        &self,
        capacities: &Capacities,
        arrived: Instant,
        request: Request<Bytes>,
        mut reservation: Reservation,
    ) -> Response<Body> {
        let path = request.uri().path();
        if path == health::WATCH {
            match capacities.watches.try_reserve() {
                Ok(watch) => reservation = watch,
                Err(exhausted) => {
                    return self.reject(
                        capacities,
                        path,
                        request.headers(),
                        arrived,
                        exhausted,
                    );
                }
            }
        }
        let counted = self.count(path, arrived);
        counted.received();
        if path == health::LIST {
            counted.sent(1);
            counted.end(Code::Ok);
            let states = self.health.list().await;
            let unread = capacities.unread.hold(Arc::new(reservation));
            return unary::success(HeaderMap::new(), states.into(), unread);
        }
        let request = request.map(Full::new);
        let Ok(response) = self.health.service().oneshot(request).await;
        let response = metrics::count_response(response, counted);
        response.map(|body| capacities.unread.watch(body, Arc::new(reservation)).into())
    }

    /// Serves reflection, which responds while its requests arrive.
    fn reflect(
        &self,
        capacities: &Capacities,
        arrived: Instant,
        request: Request<Incoming>,
        (reservation, metadata): (Reservation, Option<Reservation>),
    ) -> Response<Body> {
        let reservation = Arc::new(reservation);
        let (parts, body) = request.into_parts();
        let counted = self.count(parts.uri.path(), arrived);
        let count = counted.metrics();
        let limits = body::Limits {
            bytes: unary::REQUEST_LIMIT,
            part: unary::REQUEST_TIMEOUT,
            idle: REFLECTION_IDLE,
            closing: self.closing.clone(),
        };
        let names_compression = unary::names_compression(&parts.headers);
        let received = Arc::clone(&reservation);
        let messages = body::messages(body, names_compression, received, limits);
        let messages = messages.inspect_ok(move |_| count.received());
        let responses = self.reflection.answer(messages);
        let peer = capacities.peer.clone();
        let responses =
            metrics::count_messages(responses, counted, move |counted, failure| {
                gateway::reject(None, counted, peer.as_ref(), &parts.headers, failure)
            });
        let body = body::responses(responses);
        let reserved = Arc::new((reservation, metadata));
        let mut response = Response::new(capacities.unread.watch(body, reserved).into());
        response.headers_mut().insert(CONTENT_TYPE, unary::GRPC);
        response
    }

    /// Counts an RPC whose headers `arrived` then.
    fn count(&self, path: &str, arrived: Instant) -> CountedRpc {
        let rpc = self.gateway.contract().rpc(path);
        let metrics =
            rpc.map_or_else(|| self.others.of(path), |rpc| self.gateway.rpc_metrics(rpc));
        CountedRpc::start(metrics, arrived)
    }

    /// Rejects a request before it becomes an RPC.
    fn reject(
        &self,
        capacities: &Capacities,
        path: &str,
        metadata: &HeaderMap,
        arrived: Instant,
        failure: impl Into<Failure>,
    ) -> Response<Body> {
        let (rpc, counted) =
            (self.gateway.contract().rpc(path), self.count(path, arrived));
        let peer = capacities.peer.as_ref();
        gateway::reject(rpc, counted, peer, metadata, failure.into()).into_http()
    }
}

/// A request that holds memory for its metadata.
#[derive(Debug)]
pub(crate) struct Admitted {
    arrived: Instant,
    metadata: Option<Reservation>,
    request: Request<Incoming>,
}
