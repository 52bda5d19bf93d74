//! What is counted of requests to Polytomic and of the circuit breaker.
//!
//! The names are those of OpenTelemetry's HTTP client, as its exporter for Prometheus
//! writes them. The URL is that of the template: it holds no ID.

use std::{
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};

use super::{Error, breaker::Breaker};
use crate::telemetry::{self, Counter, Family, Histogram, Samples};

const SECONDS: Family = Family::histogram(
    "http_client_request_duration_seconds",
    &["http_request_method", "url_template", "http_response_status_code", "error_type"],
    "Time of requests to Polytomic, from the wait for a connection to the end of the \
     response",
);
const RESENDS: Family = Family::counter(
    "http_client_request_resends_total",
    &["http_request_method", "url_template"],
    "Requests to Polytomic that were sent again for the same RPC",
);
const OPEN: Family = Family::gauge(
    "gateway_circuits_open",
    &["circuit"],
    "Circuits that are open: of keys, of paths with the gateway's own key, and of all",
);
const OPENED: Family = Family::counter(
    "gateway_circuits_opened_total",
    &["circuit"],
    "Circuits that opened after failures",
);
const REFUSED: Family = Family::counter(
    "gateway_circuits_refused_total",
    &["circuit"],
    "Requests not sent because a circuit is open",
);

/// The statuses that have a series each, if they occur. All others share one.
const STATUSES: Range<u16> = 100..600;

/// The names of the ends of an exchange without a whole response.
const ERRORS: [&str; 9] = [
    "cancelled",
    "connect",
    "not_processed",
    "malformed",
    "no_memory",
    "no_stream",
    "reset",
    "timeout",
    "too_large",
];

/// What is counted of requests with one method and path template.
#[derive(Debug)]
pub struct RequestMetrics {
    method: Method,
    template: String,
    resent: Counter,
    /// By status and, behind those, for all other statuses. Each is made when the first
    /// exchange ends so.
    statuses: Box<[OnceLock<Histogram>]>,
    /// By the index of the name in [`ERRORS`], in the same way.
    errors: [OnceLock<Histogram>; ERRORS.len()],
}

/// What a client of Polytomic counts of its requests.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: Mutex<Vec<Arc<RequestMetrics>>>,
}

impl RequestMetrics {
    fn new(method: &Method, template: &str) -> Self {
        Self {
            method: method.clone(),
            template: template.to_owned(),
            resent: Counter::default(),
            statuses: (0..=STATUSES.len()).map(|_| OnceLock::new()).collect(),
            errors: Default::default(),
        }
    }

    /// Counts a request that is sent again.
    pub fn resent(&self) {
        self.resent.add();
    }

    /// Counts an exchange by the status of its whole response, or by what ended it.
    /// Without either, it was cancelled.
    pub(super) fn ended(
        &self,
        ending: Option<Result<StatusCode, &Error>>,
        took: Duration,
    ) {
        let histogram = match ending {
            Some(Ok(status)) => {
                let status = status.as_u16();
                let index = usize::from(status.wrapping_sub(STATUSES.start));
                &self.statuses[index.min(STATUSES.len())]
            }
            Some(Err(error)) => {
                let Some(name) = name(error) else { return };
                &self.errors[index_of(name)]
            }
            None => &self.errors[index_of("cancelled")],
        };
        histogram.get_or_init(Histogram::default).observe(took);
    }

    fn labels(&self) -> [&str; 2] {
        [self.method.as_str(), &self.template]
    }

    fn write(&self, samples: &mut Samples<'_>) {
        let [method, template] = self.labels();
        let statuses = STATUSES.map(|status| status.to_string());
        let statuses = statuses.chain(["other".to_owned()]);
        for (status, histogram) in statuses.zip(&self.statuses) {
            let Some(histogram) = histogram.get() else { continue };
            // As OpenTelemetry has it: a status of an error is the error's type, too.
            let error = if status.as_str() < "400" { "" } else { &status };
            samples.histogram(&[method, template, &status, error], histogram);
        }
        for (error, histogram) in ERRORS.iter().zip(&self.errors) {
            let Some(histogram) = histogram.get() else { continue };
            samples.histogram(&[method, template, "", error], histogram);
        }
    }
}

impl Metrics {
    /// Returns what is counted of requests with a method and a path template.
    pub(super) fn requests(
        &self,
        method: &Method,
        template: &str,
    ) -> Arc<RequestMetrics> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [method.as_str(), template];
        if let Some(found) = requests.iter().find(|found| found.labels() == labels) {
            return Arc::clone(found);
        }
        let new = Arc::new(RequestMetrics::new(method, template));
        requests.push(Arc::clone(&new));
        new
    }

    pub(super) fn register(self: &Arc<Self>, metrics: &telemetry::Metrics) {
        let own = Arc::clone(self);
        metrics.register(SECONDS, move |samples| {
            own.each(|requests| requests.write(samples));
        });
        let own = Arc::clone(self);
        metrics.register(RESENDS, move |samples| {
            own.each(|requests| {
                samples.count(&requests.labels(), requests.resent.get());
            });
        });
    }

    fn each(&self, write: impl FnMut(&Arc<RequestMetrics>)) {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(write);
    }
}

/// Registers what is known of circuits.
pub(super) fn register_circuits(breaker: &Arc<Breaker>, metrics: &telemetry::Metrics) {
    let of = |family, write: fn(&Breaker, &mut Samples<'_>)| {
        let breaker = Arc::clone(breaker);
        metrics.register(family, move |samples| write(&breaker, samples));
    };
    of(OPEN, |breaker, samples| {
        for (circuit, open) in breaker.open() {
            samples.count(&[circuit.as_str()], open as u64);
        }
    });
    of(OPENED, |breaker, samples| breaker.opened.write(samples));
    of(REFUSED, |breaker, samples| breaker.refused.write(samples));
}

/// Returns the name of what ended an exchange. An open circuit ends none: it is counted
/// with the circuits.
fn name(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::CircuitOpen { .. } => return None,
        Error::Connect(_) => "connect",
        Error::NotProcessed(_) => "not_processed",
        Error::NoStream => "no_stream",
        Error::Reset(_) => "reset",
        Error::Timeout => "timeout",
        Error::Malformed(_) => "malformed",
        Error::TooLarge { .. } => "too_large",
        Error::NoMemory(_) => "no_memory",
    })
}

fn index_of(name: &str) -> usize {
    ERRORS.iter().position(|error| *error == name).expect("the names are in the list")
}
