//! What the process reports about itself: today its log.

mod json;
mod log;
mod text;
mod timestamp;
mod writer;

pub use self::{
    log::{Format, init},
    writer::Writer,
};
