//! From the message and the metadata of an RPC to its REST request.

use bytes::Bytes;
use http::HeaderMap;

use super::{
    deadline::Deadline,
    idempotency::{self, Key},
    metadata,
    record::Record,
};
use crate::{
    contract::Rpc,
    transcode::{self, RequestError, Violation},
    upstream::Request,
};

/// The headers of a create with a trace context.
const MOST_HEADERS: usize = 5;

/// Makes the REST request of an RPC, without its credentials.
///
/// # Errors
///
/// All violations in the metadata and the message together, or that the bytes are
/// not the message.
pub(super) fn prepare(
    rpc: &Rpc,
    metadata: &HeaderMap,
    message: &[u8],
    key: Option<Result<Key, Violation>>,
    deadline: Result<Deadline, Violation>,
    record: &mut Record,
) -> Result<Request, RequestError> {
    let mut violations = Vec::new();
    let mut headers = Vec::with_capacity(MOST_HEADERS);
    keep(&mut violations, deadline);
    let version = metadata::version(metadata, &rpc.options.api_versions);
    if let Some(Some(version)) = keep(&mut violations, version) {
        record.api_version = version;
    }
    headers.push((metadata::VERSION, record.api_version.clone()));
    headers.push((metadata::REQUEST_ID, record.request_id.clone()));
    metadata::copy_trace_context(metadata, &mut headers);
    if let Some(key) = key.and_then(|key| keep(&mut violations, key)) {
        headers.push((idempotency::HEADER, key.value));
    }

    match transcode::request(rpc, message) {
        Err(RequestError::Invalid(more)) => {
            violations.extend(more);
            Err(RequestError::Invalid(violations))
        }
        Err(other) => Err(other),
        Ok(rest) if violations.is_empty() => {
            record.resource = rest.resource;
            Ok(Request {
                method: rest.method,
                path_and_query: rest.path_and_query,
                headers,
                authorization: None,
                body: rest.body.map(Bytes::from),
                cancel: None,
            })
        }
        Ok(_) => Err(RequestError::Invalid(violations)),
    }
}

/// Returns the value, or keeps the violation.
fn keep<T>(violations: &mut Vec<Violation>, result: Result<T, Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}
