//! Streaming RPCs: which list of Polytomic's response an RPC streams.
//!
//! REST has one response, an envelope whose list may be long. A streaming RPC declares
//! the message for one element of it: its only field has the key of the list in the
//! envelope, and the type of the elements. Nothing else needs to be stated.

use http::Method;
use prost_reflect::MethodDescriptor;

use super::schema::{Field, Kind, Schema};

/// Returns the envelope whose list the RPC streams, or `response` if the RPC is unary.
///
/// # Errors
///
/// If the RPC declares a stream that REST does not have, or one of something else than
/// the elements of a list.
pub(super) fn envelope(
    method: &MethodDescriptor,
    http_method: &Method,
    response: Schema,
) -> Result<Schema, String> {
    if method.is_client_streaming() {
        return Err("takes a stream, but a REST call has one request; remove `stream` \
                    from its request"
            .to_owned());
    }
    if !method.is_server_streaming() {
        return Ok(response);
    }
    if http_method != Method::GET {
        return Err(format!(
            "streams the response to a {http_method}; only a GET can be streamed, since a \
             stream that breaks is repeated: remove `stream` from its response"
        ));
    }
    check(&response)
        .map_err(|problem| format!("streams {}, {problem}", response.root().name))?;
    Ok(response.with_list())
}

fn check(response: &Schema) -> Result<(), String> {
    let [Field { name, key, kind, repeated, .. }] = &response.root().fields[..] else {
        return Err(format!(
            "which has {} fields; declare one, with the type of an element and the key \
             of the list in Polytomic's response",
            response.root().fields.len()
        ));
    };
    if *repeated {
        return Err(format!(
            "whose field `{name}` is repeated; each message has one element of the list \
             `{key}`: remove `repeated`"
        ));
    }
    if !matches!(kind, Kind::Message(_)) {
        return Err(format!(
            "whose field `{name}` is no message; the elements of the list must be objects"
        ));
    }
    if response.contains_root() {
        return Err("which contains itself; use another message".to_owned());
    }
    Ok(())
}
