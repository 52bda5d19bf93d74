//! A request to Polytomic, and its whole response.

use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use super::{CancelHandle, Error};

/// A request to Polytomic.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path and the query. Starts with `/`.
    pub path_and_query: String,
    /// The headers, except those that every request has.
    pub headers: HeaderMap,
    /// The JSON body.
    pub body: Option<Bytes>,
    /// Cancels the request, for code that must know whether it was sent.
    pub cancel: Option<CancelHandle>,
}

/// A whole response of Polytomic's, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// Returns the body, unless the headers state that it is not plain JSON. Without
    /// such headers it is read as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn json(&self) -> Result<&[u8], Error> {
        check_json(&self.headers).map(|()| &*self.body)
    }
}

/// Returns an error if the headers state that the body is not plain JSON.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Error> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(Error::Malformed(
            "it is compressed, which the gateway did not ask for",
        ));
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    // Servers that set no type get one of text from their framework or proxy.
    let is_json = ["application/json", "text/json", "text/plain"];
    if is_json.contains(&&*essence) || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Error::Malformed(
        "its content type is not JSON; the usual cause is a wrong upstream URL or a \
         login page",
    ))
}
