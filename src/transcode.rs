//! Translation between protobuf and REST, both ways.
//!
//! Pure functions over bytes, driven by the compiled [`contract`]: a request
//! message becomes a path, a query and a JSON body, and a JSON answer becomes
//! the wire bytes of a response message, in one pass. The gateway reads no field
//! of an answer, so no message is built in between.
//!
//! [`contract`]: crate::contract

mod body;
mod error;
mod json;
mod request;
mod response;
mod wire;

pub use self::{
    error::{RequestError, Violation},
    request::{Resource, RestRequest, request},
    response::{MAX_DEPTH, ResponseError, response},
};
