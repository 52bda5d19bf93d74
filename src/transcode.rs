//! Translation between protobuf and REST, in both directions.
//!
//! Pure functions over bytes, directed by the compiled [`contract`]: a request
//! message becomes a path, a query and a JSON body, and the JSON of a response
//! becomes the wire bytes of the response message, in one pass. The gateway reads
//! no field of a response, so it builds no message in between.
//!
//! [`contract`]: crate::contract

mod body;
mod check;
mod elements;
mod error;
mod json;
mod output;
mod request;
mod response;
mod wire;

pub use self::{
    elements::{Elements, Framing, Progress, TURN},
    error::{RequestError, Violation},
    request::{Resource, RestRequest, request},
    response::{MAX_DEPTH, ResponseError, SLACK, response},
};
