//! A gateway without a server, to measure [`Gateway::call`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use polytomic_gateway::{
    auth::{Authenticator, Mode, Settings as AuthSettings},
    budget::{self, Capacities},
    contract::{Contract, DESCRIPTOR_SET},
    gateway::{Body, Gateway, IdentityClient, Settings, Timeouts},
    upstream::{Request, Upstream},
};
use tokio::{runtime::Runtime, time::Instant};

use crate::serving::{Work, runtime};

/// Maximum bytes of a response.
const LIMIT: usize = 32 * 1024 * 1024;

/// Returns an upstream in memory, whose response is the same each time.
fn upstream(work: Work) -> Upstream {
    let body = work.response();
    let respond = move |_: &Request| {
        let mut response = http::Response::new(body.clone());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    };
    Upstream::in_memory(respond, LIMIT)
}

/// A gateway that is called without a connection.
pub(crate) struct Called {
    runtime: Runtime,
    gateway: Gateway,
    capacities: Capacities,
    path: String,
    message: Bytes,
    metadata: HeaderMap,
}

impl Called {
    /// Starts a gateway, and calls it until its caches are filled.
    pub(crate) fn new(work: Work) -> Self {
        let runtime = runtime();
        let gateway = runtime.block_on(async {
            let upstream = upstream(work);
            let mut settings = AuthSettings::new(Mode::Passthrough, "u", "v");
            settings.verify = false;
            let api_version = HeaderValue::from_static("2025-09-18");
            let look_up = IdentityClient::new(upstream.clone(), api_version.clone());
            let authenticator = Authenticator::start(settings, look_up).await;
            let settings = Settings {
                api_version,
                timeouts: Timeouts::new(Duration::from_secs(30)),
                attempt_timeout: Duration::from_secs(10),
                attempts: 3,
            };
            let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
            Gateway::new(contract, Arc::new(authenticator.unwrap()), upstream, settings)
        });
        let budget = budget::Settings {
            response_memory: 256 << 20,
            max_in_flight: 1024,
            max_connections: 1024,
        };
        let called = Self {
            runtime,
            gateway,
            capacities: Capacities::new(&budget).on_connection(),
            path: work.path(),
            message: work.message(),
            metadata: work.metadata(),
        };
        for _ in 0..10 {
            called.call();
        }
        called
    }

    /// Performs one RPC; returns the response message.
    pub(crate) fn call(&self) -> Bytes {
        let rpc = self.gateway.contract().rpc(&self.path).unwrap();
        let mut request = http::Request::new(self.message.clone());
        *request.headers_mut() = self.metadata.clone();
        *request.method_mut() = Method::POST;
        let request = tonic::Request::from_http(request);
        let receiving = self.capacities.try_receive().unwrap();
        let outcome = self.runtime.block_on(self.gateway.call(
            rpc,
            Instant::now(),
            request,
            self.capacities.received(receiving),
        ));
        let Body::Message(message) = outcome.unwrap().into_inner() else {
            panic!("the RPC is a stream")
        };
        message.take().0
    }
}
