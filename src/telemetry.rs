//! What the process reports about itself: today its log.

mod log;

pub use self::log::{Format, init};
