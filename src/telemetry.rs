//! What the process reports about itself: today its log.

mod filter;
mod json;
mod log;
mod text;
mod timestamp;
mod writer;

pub use self::{
    filter::LogFilter,
    log::{Format, init},
    timestamp::timestamp,
    writer::Writer,
};
