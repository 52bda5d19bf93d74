//! How a family writes its samples.

use std::{
    fmt,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::CounterWithExemplar},
};

use super::{Family, Histogram, Kind};

/// Writes the samples of a family.
type Read = dyn Fn(&mut Samples<'_>) + Send + Sync;

/// A registered family.
pub(super) struct Reader {
    family: Family,
    read: Box<Read>,
}

/// The samples of a family, to be written. The values of labels are in the order in which
/// the family declares their names.
#[derive(Debug)]
pub struct Samples<'a> {
    family: Family,
    encoder: MetricEncoder<'a>,
    result: fmt::Result,
}

/// A trace that a counter has counted, for example. Only OpenMetrics has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar<'a> {
    /// The ID of the trace, in hexadecimal.
    pub trace_id: &'a str,
    /// When it was counted.
    pub at: SystemTime,
}

impl Reader {
    pub(super) fn new(family: Family, read: Box<Read>) -> Self {
        Self { family, read }
    }
}

impl EncodeMetric for Reader {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        let mut samples = Samples { family: self.family, encoder, result: Ok(()) };
        (self.read)(&mut samples);
        samples.result
    }

    fn metric_type(&self) -> MetricType {
        match self.family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.family.fmt(f)
    }
}

impl Samples<'_> {
    /// Writes a whole number.
    pub fn count(&mut self, labels: &[&str], value: u64) {
        let kind = self.family.kind;
        self.write(labels, |encoder| match kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            Kind::Gauge | Kind::Histogram => encoder.encode_gauge(&value),
        });
    }

    /// Writes a number, such as one of seconds.
    pub fn value(&mut self, labels: &[&str], value: f64) {
        let kind = self.family.kind;
        self.write(labels, |encoder| match kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Kind::Gauge | Kind::Histogram => encoder.encode_gauge(&value),
        });
    }

    /// Writes the value of a counter, and a trace that it has counted.
    pub fn count_with(&mut self, labels: &[&str], value: u64, exemplar: Exemplar<'_>) {
        let trace = vec![("trace_id".to_owned(), exemplar.trace_id.to_owned())];
        // The library makes an exemplar nowhere else.
        let counted = CounterWithExemplar::<_, f64, AtomicU64>::default();
        counted.inc_by(1.0, Some(trace), Some(exemplar.at));
        let (_, exemplar) = counted.get();
        self.write(labels, |encoder| encoder.encode_counter(&value, exemplar.as_ref()));
    }

    /// Writes a histogram.
    pub fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        self.write(labels, |encoder| {
            let sum = histogram.sum().as_secs_f64();
            let in_seconds = |(bound, count)| match bound {
                Duration::MAX => (f64::INFINITY, count),
                bound => (bound.as_secs_f64(), count),
            };
            let buckets: Vec<_> = histogram.buckets().map(in_seconds).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        });
    }

    fn write(
        &mut self,
        values: &[&str],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) {
        let names = self.family.labels;
        debug_assert_eq!(names.len(), values.len(), "{}", self.family.name);
        let labels: Vec<_> = names.iter().copied().zip(values.iter().copied()).collect();
        let encoder = self.encoder.encode_family(&labels);
        let written = encoder.and_then(|mut encoder| write(&mut encoder));
        self.result = self.result.and(written);
    }
}
