//! The admin listener: probes, and pages for those who operate the gateway.
//!
//! It has a port of its own, because the gateway's port speaks gRPC only, and because
//! what operators may read and change is not for clients. It speaks HTTP/1.1, which
//! probes, browsers and `curl` have in common. It only reads what the other rooms report
//! of themselves, so that no page can slow an RPC down.

mod accept;
mod guard;
mod listener;
mod pages;
mod probe;
mod readiness;
mod reply;

use std::sync::Arc;

pub use self::{
    listener::Listener,
    probe::{ProbeError, ask},
};
use crate::{auth::Authenticator, net::Lifecycle, telemetry::LogFilter};

/// Renders all metrics: in the format of OpenMetrics, or else of Prometheus.
pub type RenderMetrics = Arc<dyn Fn(bool) -> String + Send + Sync>;

/// What the pages show. A page without its source is absent.
#[derive(Clone)]
pub struct Sources {
    /// The phase and the connections of the server.
    pub lifecycle: Lifecycle,
    /// The owner of the credentials.
    pub authenticator: Arc<Authenticator>,
    /// The filter of the log.
    pub log: Option<LogFilter>,
    /// The metrics.
    pub metrics: Option<RenderMetrics>,
    /// The settings that the gateway runs with.
    pub settings: Option<Arc<[Setting]>>,
}

/// A setting, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, without any secret.
    pub value: String,
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

        struct Unanswered;
        impl LookUp for Unanswered {
            fn identity(
                &self,
                _: http::HeaderValue,
            ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
                Box::pin(pending())
            }
        }
        let settings = Settings::new(Mode::Passthrough, String::new(), "");
        let authenticator = Authenticator::start(settings, Unanswered).await;
        Self {
            lifecycle: Lifecycle::default(),
            authenticator: Arc::new(authenticator.expect("there is no key to check")),
            log: Some(LogFilter::for_tests()),
            metrics: None,
            settings: None,
        }
    }
}
