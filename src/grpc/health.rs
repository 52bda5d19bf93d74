//! The health service of tonic-health, with three differences.
//!
//! It has `List`, which tonic-health does not have yet.
//!
//! A watch on an unknown service stays open with `SERVICE_UNKNOWN` (health.proto,
//! `Watch`). Watches end when the server drains: they do not end by themselves, and
//! the drain would wait for them.

use std::{collections::HashMap, pin::Pin};

use futures_util::{Stream, StreamExt, future::ready, stream};
use prost::Message as _;
use tonic::{Code, Request, Response, Status};
use tonic_health::{
    ServingStatus::{NotServing, Serving},
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_check_response::ServingStatus,
        health_server::{self, Health as _},
    },
    server::{HealthReporter, HealthService},
};

/// The descriptors of the service, for reflection.
pub(super) const DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/health.bin"));

/// The path of the service, whose RPCs each read one message.
pub(super) const PREFIX: &str = "/grpc.health.v1.Health/";

/// The RPC that tonic-health does not have.
pub(super) const LIST: &str = "/grpc.health.v1.Health/List";

/// The RPC whose stream of responses does not end.
pub(super) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The service name that stands for the whole server.
const SERVER: &str = "";

/// The state of the server and its services, which is the same for all.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    services: Vec<String>,
    reporter: HealthReporter,
}

impl Health {
    /// Starts with the server and these services as `SERVING`.
    pub(super) async fn of<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let services = services.into_iter().chain([SERVER]).map(str::to_owned).collect();
        let health = Self { services, reporter: HealthReporter::new() };
        health.set_serving().await;
        health
    }

    /// Reports `SERVING` from now on.
    pub(super) async fn set_serving(&self) {
        for service in &self.services {
            self.reporter.set_service_status(service, Serving).await;
        }
    }

    /// Returns the gRPC service, without `List`.
    pub(super) fn service(&self) -> health_server::HealthServer<Service> {
        health_server::HealthServer::new(Service(self.states()))
    }

    /// Returns the response message of `List`: the state of the server and of each
    /// service.
    pub(super) async fn list(&self) -> Vec<u8> {
        let states = self.states();
        let mut statuses = HashMap::new();
        for service in &self.services {
            let request = HealthCheckRequest { service: service.clone() };
            if let Ok(state) = states.check(Request::new(request)).await {
                statuses.insert(service.clone(), state.into_inner());
            }
        }
        HealthListResponse { statuses }.encode_to_vec()
    }

    fn states(&self) -> HealthService {
        HealthService::from_health_reporter(self.reporter.clone())
    }

    /// Reports `NOT_SERVING` from now on, so that clients send no new RPCs.
    pub(crate) async fn set_not_serving(&self) {
        for service in &self.services {
            self.reporter.set_service_status(service, NotServing).await;
        }
    }

    /// Ends all watches.
    pub(crate) async fn close(mut self) {
        for service in &self.services {
            self.reporter.clear_service_status(service).await;
        }
    }
}

/// The message of that name in `proto/grpc/health/v1/health.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthListResponse {
    #[prost(map = "string, message", tag = "1")]
    statuses: HashMap<String, HealthCheckResponse>,
}

#[derive(Debug)]
pub(super) struct Service(HealthService);

type States = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    type WatchStream = States;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<States>, Status> {
        match self.0.watch(request).await {
            Ok(states) => Ok(states.map(|states| Box::pin(states) as States)),
            Err(status) if status.code() == Code::NotFound => {
                // The watch on the server ends with it, and so ends this one.
                let server = HealthCheckRequest { service: SERVER.to_owned() };
                let end = self.0.watch(Request::new(server)).await?.into_inner();
                let unknown = ServingStatus::ServiceUnknown.into();
                let unknown = Ok(HealthCheckResponse { status: unknown });
                let responses =
                    stream::iter([unknown]).chain(end.filter(|_| ready(false)));
                Ok(Response::new(Box::pin(responses)))
            }
            Err(status) => Err(status),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn list_follows_the_state_of_the_server() {
        let health = Health::of(["a.Service"]).await;
        let list = async || {
            let list = HealthListResponse::decode(&*health.list().await).unwrap();
            let states = list.statuses.into_iter();
            let mut states: Vec<_> =
                states.map(|(service, state)| (service, state.status())).collect();
            states.sort();
            states
        };
        let all = |state| vec![(String::new(), state), ("a.Service".to_owned(), state)];
        assert_eq!(list().await, all(ServingStatus::Serving));
        health.set_not_serving().await;
        assert_eq!(list().await, all(ServingStatus::NotServing));
        health.set_serving().await;
        assert_eq!(list().await, all(ServingStatus::Serving));
    }
}
