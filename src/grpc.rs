//! gRPC on HTTP/2: routing, framing, health and reflection.
//!
//! It has what every gRPC server needs, and knows no RPC of the contract. Messages are
//! bytes here.

mod body;
mod call;
mod error;
mod health;
mod metadata;
mod metrics;
mod plain_http;
mod reflection;
mod response;
mod route;
mod stream;
mod unary;

pub use self::{error::Error, route::Routes};
