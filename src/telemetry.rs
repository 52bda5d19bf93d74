//! What the process says about itself.

mod log;

pub use self::log::{Format, init};
