//! The metrics of the process, for Prometheus.
//!
//! A room counts in [`Counter`]s and [`Histogram`]s of its own, which it has whether or
//! not they are read. `app` makes one [`Metrics`] and has each room register its
//! families: what each is called and means, and how to read it. Nothing is global, and
//! what can be read when the page is, such as the memory in use, costs no RPC anything.
//!
//! No value of a label comes from a client. Each is a name in the code or the contract,
//! so the number of series is bounded.

mod counter;
mod histogram;
mod process;
mod samples;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::{Registry, Unit},
};

use self::samples::Reader;
pub use self::{
    counter::{Counter, Counters},
    histogram::Histogram,
    samples::{Exemplar, Samples},
};

/// The metrics of a gateway. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    families: Arc<RwLock<Families>>,
}

#[derive(Debug, Default)]
struct Families {
    registry: Registry,
    declared: Vec<Family>,
}

/// What a metric is called and means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, with the unit and, of a counter, `_total`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning, without a full stop.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A state.
    Gauge,
    /// How many values were within each bound.
    Histogram,
}

impl Family {
    /// Declares a counter.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// Declares a gauge.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// Declares a histogram.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram, labels, help }
    }

    /// Returns the name without what the encoder adds: `_total` and the unit.
    fn name_and_unit(&self) -> (&'static str, Option<Unit>) {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        };
        for unit in [Unit::Seconds, Unit::Bytes] {
            let stem = name.strip_suffix(unit.as_str());
            if let Some(stem) = stem.and_then(|stem| stem.strip_suffix('_')) {
                return (stem, Some(unit));
            }
        }
        (name, None)
    }
}

impl Metrics {
    /// The media type of the page in OpenMetrics.
    pub const OPENMETRICS: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The media type of the page in Prometheus's own format.
    pub const PROMETHEUS: &str = prometheus_text::CONTENT_TYPE;

    /// Makes the metrics of a process that starts now.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self { families: Arc::default() };
        process::register(&metrics);
        metrics
    }

    /// Adds a family, which `read` writes the samples of whenever the page is rendered.
    pub fn register(
        &self,
        family: Family,
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) {
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let Families { registry, declared } = &mut *families;
        debug_assert!(declared.iter().all(|other| other.name != family.name));
        declared.push(family);
        let (name, unit) = family.name_and_unit();
        let reader = Reader::new(family, Box::new(read));
        match unit {
            Some(unit) => {
                registry.register_with_unit(name, family.help, unit, reader);
            }
            None => registry.register(name, family.help, reader),
        }
    }

    /// Returns what has been registered, in the order of the page.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.read().declared.clone()
    }

    /// Writes the page: in OpenMetrics, or in the text format of Prometheus, which has
    /// no exemplars.
    #[must_use]
    pub fn render(&self, openmetrics: bool) -> String {
        let families = self.read();
        let mut page = String::new();
        let written = if openmetrics {
            text::encode(&mut page, &families.registry)
        } else {
            prometheus_text::encode(&mut page, &families.registry)
        };
        debug_assert!(written.is_ok(), "a String accepts all text");
        page
    }

    fn read(&self) -> RwLockReadGuard<'_, Families> {
        self.families.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
