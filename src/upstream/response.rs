//! A request to Polytomic, and its whole response.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
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
    /// The headers, except those that every request has. Each attempt makes its map of
    /// them: to add a header to a map takes as long as to copy several.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The credentials, which a retry may replace.
    pub authorization: Option<HeaderValue>,
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
        check_json(&self.headers)?;
        Ok(&self.body)
    }
}

/// Checks that headers do not state a body other than plain JSON.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Error> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(Error::Malformed(
            "it is compressed, which the gateway did not ask for",
        ));
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let content_type = content_type.to_str().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    // Servers that set no type get one of text from their framework or proxy.
    let json = ["application/json", "text/json", "text/plain"];
    let suffix = essence.rsplit_once('+').map_or("", |(_, suffix)| suffix);
    if json.iter().any(|json| essence.eq_ignore_ascii_case(json))
        || suffix.eq_ignore_ascii_case("json")
    {
        return Ok(());
    }
    Err(Error::Malformed(
        "its content type is not JSON; the usual cause is a wrong upstream URL or a \
         login page",
    ))
}
