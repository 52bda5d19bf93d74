//! A panic ends one RPC and nothing else.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use kit::{Caller, Fake};
use polytomic_gateway::{
    auth::{self, Authenticator, LookUp, LookUpError, Mode, Verdict},
    budget::{self, Capacities},
    contract::{Contract, DESCRIPTOR_SET},
    gateway::{self, Gateway, Timeouts},
    grpc::Routes,
    net::{self, Server},
    telemetry::Metrics,
    tls::ClientFiles,
    upstream::{self, Upstream},
};
use tonic::Code;

/// Panics for one key, and fails for others.
struct Panicking;

impl LookUp for Panicking {
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        Box::pin(async move {
            assert_ne!(authorization, "Bearer panic", "a secret");
            Err(LookUpError::new("not asked"))
        })
    }
}

#[tokio::test]
async fn rpc_that_panics_is_internal_and_the_next_is_served() {
    let fake = Fake::json(200, "{}").await;
    let settings = upstream::Settings {
        answer_limit: 1 << 20,
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        tls: ClientFiles::default(),
        connections: 16,
        connection_age: Duration::from_secs(300),
    };
    let upstream = Upstream::new(fake.url().parse().unwrap(), &settings).unwrap();
    let auth = auth::Settings::new(Mode::Passthrough, fake.url(), "2025-09-18");
    let gateway = Gateway::new(
        Contract::compile(DESCRIPTOR_SET).unwrap(),
        Arc::new(Authenticator::start(auth, Panicking).await.unwrap()),
        upstream,
        gateway::Settings {
            api_version: HeaderValue::from_static("2025-09-18"),
            timeouts: Timeouts::new(Duration::from_secs(5)),
            attempt_timeout: Duration::from_secs(5),
            attempts: 1,
        },
    );
    let limits = net::Settings {
        lame_duck: Duration::ZERO,
        drain_limit: Duration::from_secs(5),
        max_connection_age: Duration::ZERO,
        max_connection_age_grace: Duration::ZERO,
        max_connection_idle: Duration::ZERO,
        max_connections_per_address: 0,
        handshake_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
    };
    let capacities = Capacities::new(&budget::Settings {
        response_memory: 1 << 20,
        max_in_flight: 8,
        max_connections: 8,
    });
    let routes = Arc::new(Routes::new(gateway, DESCRIPTOR_SET).await.unwrap());
    let metrics = Metrics::new();
    routes.register(&metrics);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), routes, limits, capacities)
        .await
        .unwrap();
    let address = server.local_addr();
    tokio::spawn(server.run(std::future::pending()));

    let reply = Caller::list(address)
        .without("authorization")
        .with("authorization", "Bearer panic")
        .send()
        .await;
    assert_eq!(reply.code(), Code::Internal);
    assert_eq!(reply.message(), "internal error");
    assert_eq!(reply.reason(), "GATEWAY_PANIC");
    assert!(fake.seen().is_empty());
    let values = kit::metrics::values(&metrics);
    assert_eq!(values["grpc_server_started_total unary Lists"], 1);
    assert_eq!(values["grpc_server_handled_total unary Lists Internal"], 1);
    assert_eq!(values["gateway_failures_total GATEWAY_PANIC"], 1);
    assert_eq!(Caller::list(address).send().await.code(), Code::Ok);
}
