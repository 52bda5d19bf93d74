//! What the process reports about itself: its log and its metrics.

mod filter;
mod json;
mod log;
mod metrics;
mod text;
mod timestamp;
mod writer;

pub use self::{
    filter::LogFilter,
    log::{Format, init},
    metrics::{Counter, Counters, Exemplar, Family, Histogram, Kind, Metrics, Samples},
    timestamp::timestamp,
    writer::Writer,
};
