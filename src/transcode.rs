//! From one form to the other, in memory: pure functions that know the table of
//! RPCs and nothing of gRPC, HTTP or the clock.
//!
//! This is the hot path. A gateway reads no field of an answer, so none of these
//! functions builds a message: JSON becomes wire bytes in one pass.

mod json;
mod response;

pub use self::response::{MAX_DEPTH, ResponseError, response};
