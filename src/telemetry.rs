//! What the process reports about itself: today its log.

mod log;
mod text;
mod writer;

pub use self::{
    log::{Format, init},
    writer::Writer,
};
