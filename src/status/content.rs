//! What the body of a response holds, by its status alone.

use http::StatusCode;

use super::{row::Body, table::row_of_status};

/// What the body of a response is to be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The message: the RPC succeeds if the body can be decoded.
    Message,
    /// Nothing: the RPC succeeds with an empty message.
    Empty,
    /// An [`ErrorResponse`](super::ErrorResponse).
    Error,
}

/// Returns what a response holds.
///
/// A list that is only accepted (202) and a create without content (204, 205) are
/// errors.
#[must_use]
pub fn content(status: StatusCode, safe: bool) -> Content {
    match (row_of_status(status).body, safe) {
        (Body::Decode, _) | (Body::DecodeOfWrite, false) => Content::Message,
        (Body::EmptyOfRead, true) => Content::Empty,
        (Body::Error | Body::DecodeOfWrite | Body::EmptyOfRead, _) => Content::Error,
    }
}
