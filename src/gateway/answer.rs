//! From Polytomic's answer to the response message, or to the failure that the
//! answer is.

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{
    auth::Credentials,
    contract::Rpc,
    status::{self, ErrorResponse, Failure},
    transcode,
    upstream::Answer,
};

/// Translates Polytomic's answer into the wire bytes of the response message.
///
/// The credentials are those that the call was sent with: a refusal that repeats
/// the key must not be passed on with it.
pub(super) fn translate(
    rpc: &Rpc,
    answer: &Answer,
    credentials: &Credentials,
) -> Result<Bytes, Failure> {
    let body: &[u8] = match status::answer(answer.status, rpc.binding.is_safe()) {
        status::Answer::Refused => {
            let body = credentials.blank(&answer.body);
            let refusal = ErrorResponse::new(answer.status, &answer.headers, &body);
            return Err(Failure::Refused(Box::new(refusal)));
        }
        status::Answer::Empty => b"{}",
        status::Answer::Decode => {
            check_is_json(&answer.headers)?;
            &answer.body
        }
    };
    transcode::response(&rpc.response, body)
        .map(Bytes::from)
        .map_err(|error| Failure::BadResponse(error.to_string()))
}

/// Refuses an answer that says of itself that it is not plain JSON. One that
/// says nothing is read as JSON.
fn check_is_json(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Failure::BadResponse(
            "it is compressed, which was not asked for".to_owned(),
        ));
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence =
        content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Failure::BadResponse(
        "its content type is not JSON; the usual cause is a wrong upstream URL or a login page"
            .to_owned(),
    ))
}
