//! The health service, where tonic-health and the protocol part ways.
//!
//! A watch on a service that is not known stays open and says so (health.proto,
//! `Watch`), and watches end with the server: they are streams without an end
//! of their own, which a drain would wait for.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, future::ready, stream};
use tonic::{Code, Request, Response, Status};
use tonic_health::{
    ServingStatus::{NotServing, Serving},
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
        health_server,
    },
    server::{HealthReporter, HealthService},
};

/// The name that stands for the whole server.
const SERVER: &str = "";

/// What is told of the server and its services: the same of all.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    services: Vec<String>,
    reporter: HealthReporter,
}

impl Health {
    /// Says of the server and of these services that they serve.
    pub(super) async fn of<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let services = services.into_iter().chain([SERVER]).map(str::to_owned).collect();
        let health = Self { services, reporter: HealthReporter::new() };
        health.set_serving().await;
        health
    }

    /// Tells that RPCs may come.
    pub(super) async fn set_serving(&self) {
        for service in &self.services {
            self.reporter.set_service_status(service, Serving).await;
        }
    }

    /// Returns the service to ask.
    pub(super) fn service(&self) -> health_server::HealthServer<Service> {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        health_server::HealthServer::new(Service(service))
    }

    /// Tells that no new RPCs should come.
    pub(crate) async fn set_not_serving(&self) {
        for service in &self.services {
            self.reporter.set_service_status(service, NotServing).await;
        }
    }

    /// Ends the watches.
    pub(crate) async fn close(mut self) {
        for service in &self.services {
            self.reporter.clear_service_status(service).await;
        }
    }
}

#[derive(Debug)]
pub(super) struct Service(HealthService);

type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    type WatchStream = Answers;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Answers>, Status> {
        match self.0.watch(request).await {
            Ok(answers) => Ok(answers.map(|answers| Box::pin(answers) as Answers)),
            Err(status) if status.code() == Code::NotFound => {
                let server = HealthCheckRequest { service: SERVER.to_owned() };
                let end = self.0.watch(Request::new(server)).await?.into_inner();
                let unknown = ServingStatus::ServiceUnknown.into();
                let unknown = Ok(HealthCheckResponse { status: unknown });
                let answers = stream::iter([unknown]).chain(end.filter(|_| ready(false)));
                Ok(Response::new(Box::pin(answers)))
            }
            Err(status) => Err(status),
        }
    }
}
