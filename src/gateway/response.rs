//! From Polytomic's response to the response message, or to the failure that it is.

use bytes::Bytes;

use crate::{
    auth::Credentials,
    contract::Rpc,
    status::{Content, ErrorResponse, Failure, content},
    transcode,
    upstream::Response,
};

/// Translates Polytomic's response into the wire bytes of the response message.
///
/// The credentials are those that the request was sent with: an error response that
/// contains the key must not reach the client with it.
pub(super) fn translate(
    rpc: &Rpc,
    response: &Response,
    credentials: &Credentials,
) -> Result<Bytes, Failure> {
    let json: &[u8] = match content(response.status, rpc.binding.is_safe()) {
        Content::Error => {
            let redactor = credentials.redactor();
            let error = ErrorResponse::new(
                response.status,
                &response.headers,
                &response.body,
                &|text| redactor.redact(text).into_owned(),
            );
            return Err(Failure::ErrorResponse(Box::new(error)));
        }
        Content::Empty => b"{}",
        Content::Message => response.json()?,
    };
    transcode::response(&rpc.response, json).map(Bytes::from).map_err(Failure::Response)
}
