//! The admin listener: probes, and pages for those who operate the gateway.
//!
//! It has a port of its own, because the gateway's port speaks gRPC only, and because
//! what operators may read and change is not for clients. It speaks HTTP/1.1, which
//! probes, browsers and `curl` have in common. Apart from the log filter, it only reads
//! what the other rooms report of themselves, so that no page can slow an RPC down.

mod accept;
mod guard;
mod html;
mod listener;
mod overview;
mod pages;
mod probe;
mod readiness;
mod reply;
mod sections;
mod words;

use std::sync::Arc;

pub use self::{
    listener::Listener,
    probe::{ProbeError, ask},
};
use crate::{
    auth::Authenticator,
    budget::Capacities,
    gateway::{RecentFailures, RpcTotals},
    net::Lifecycle,
    telemetry::{LogFilter, Metrics},
    tls::Stats as TlsStats,
    upstream::Upstream,
};

/// Reads what is counted of each RPC.
pub type ReadRpcs = Arc<dyn Fn() -> Vec<RpcTotals> + Send + Sync>;

/// Reads the state of the certificates: of the listener, and of the way to Polytomic.
pub type ReadCertificates = Arc<dyn Fn() -> [Option<TlsStats>; 2] + Send + Sync>;

/// What the pages show.
#[derive(Clone)]
pub struct Sources {
    /// The phase and the connections of the server.
    pub lifecycle: Lifecycle,
    /// The owner of the credentials.
    pub authenticator: Arc<Authenticator>,
    /// The connections to Polytomic.
    pub upstream: Upstream,
    /// The state of the certificates.
    pub certificates: ReadCertificates,
    /// What clients hold.
    pub capacities: Capacities,
    /// The last failures.
    pub failures: RecentFailures,
    /// What is counted of each RPC.
    pub rpcs: ReadRpcs,
    /// The filter of the log. Without it, its page is absent.
    pub log: Option<LogFilter>,
    /// The metrics.
    pub metrics: Metrics,
    /// The settings that the gateway started with.
    pub settings: Arc<[Setting]>,
    /// The same, as a configuration file.
    pub configuration: Arc<str>,
}

/// A setting, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, without any secret. Absent if the gateway decides it.
    pub value: Option<String>,
    /// Where the value comes from, such as a flag or a default.
    pub source: String,
}

/// Not derived: a function has no form.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("log", &self.log).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Sources {
    /// Returns those of a gateway that has started nothing but its authenticator.
    async fn for_tests() -> Self {
        use crate::auth::{LookUp, LookUpError, Mode, Settings, Verdict};
        use futures_util::future::{BoxFuture, pending};
        use std::time::Duration;

        struct Unanswered;
        impl LookUp for Unanswered {
            fn identity(
                &self,
                _: http::HeaderValue,
            ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
                Box::pin(pending())
            }
        }
        let upstream = "http://127.0.0.1:1".parse().expect("it is a URL");
        let upstream = Upstream::new(
            upstream,
            &crate::upstream::Settings {
                answer_limit: 1,
                connect_timeout: Duration::ZERO,
                read_timeout: Duration::ZERO,
                tls: crate::tls::ClientFiles::default(),
                connections: 1,
                connection_age: Duration::ZERO,
            },
        );
        let capacities = Capacities::new(&crate::budget::Settings {
            response_memory: 1 << 20,
            max_in_flight: 1,
            max_connections: 1,
        });
        let settings = Settings::new(Mode::Passthrough, String::new(), "");
        let authenticator = Authenticator::start(settings, Unanswered).await;
        Self {
            lifecycle: Lifecycle::default(),
            authenticator: Arc::new(authenticator.expect("there is no key to check")),
            upstream: upstream.expect("there are no certificates to read"),
            certificates: Arc::new(Default::default),
            capacities,
            failures: RecentFailures::default(),
            rpcs: Arc::new(Vec::new),
            log: Some(LogFilter::for_tests()),
            metrics: Metrics::new(),
            settings: Arc::default(),
            configuration: Arc::default(),
        }
    }
}
