//! The parts of an error response that clients may see.
//!
//! Polytomic's error body has changed with its API's versions, and a proxy may
//! respond in its place. Of any body only a few short, clean texts are kept.

mod texts;

use std::{fmt, time::Duration, time::SystemTime};

use http::{HeaderMap, StatusCode};

use self::texts::Texts;
use super::{retry_after::retry_after, sketch::Sketch, text};
use crate::transcode::Violation;

/// Bytes of Polytomic's `key` and request id that are kept.
const KEY: usize = 128;

/// The statuses that say something about the account, IDs, fields, keys, versions or the
/// gateway's request, if Polytomic sent them.
const VERDICTS: [u16; 22] = [
    400, 401, 402, 403, 404, 405, 406, 410, 411, 412, 413, 414, 415, 417, 418, 422, 423,
    424, 426, 428, 431, 451,
];

/// An error response, reduced to what clients may see.
#[derive(Clone, Debug)]
pub struct ErrorResponse {
    status: StatusCode,
    message: Option<String>,
    key: Option<String>,
    extras: Vec<(String, String)>,
    fields: Vec<Violation>,
    upstream_request_id: Option<String>,
    retry_after: Option<Duration>,
    has_body: bool,
    is_polytomics: bool,
}

/// Removes the client's or the gateway's key from a text.
type Redact<'a> = &'a dyn Fn(&str) -> String;

impl ErrorResponse {
    /// Reduces a response; `body` may be anything, or the start of anything. `redact`
    /// removes secrets from each text that is kept.
    ///
    /// The shapes read are the current `{"key", "message", "status", "metadata"}`,
    /// the older `{"error": {"message"}}`, `{"error": ".."}` and
    /// `{"message", "status_code", "metadata": [..]}`, and `detail` and `errors` of
    /// `application/problem+json` (RFC 9457). Other text is never shown.
    #[must_use]
    pub fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        redact: Redact<'_>,
    ) -> Self {
        Self::at(status, headers, body, redact, SystemTime::now())
    }

    /// As [`ErrorResponse::new`], at a given time.
    #[must_use]
    pub fn at(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        redact: Redact<'_>,
        now: SystemTime,
    ) -> Self {
        let sketch = Sketch::read(body);
        let texts = Texts(redact);
        let error = sketch.get("error");
        let nested = |name| error.and_then(|error| error.get(name));
        let errors = sketch.get("errors");
        let candidates =
            [sketch.get("message"), nested("message"), nested("detail"), error];
        let message = candidates
            .into_iter()
            .chain([sketch.get("detail"), errors])
            .flatten()
            .filter_map(Sketch::text)
            .find_map(|text| texts.message(text))
            .or_else(|| texts.errors(errors?));
        let key = [sketch.get("key"), nested("key")]
            .into_iter()
            .flatten()
            .filter_map(Sketch::text)
            .find_map(|key| texts.identifier(key, KEY));
        let metadata = objects(sketch.get("metadata"));
        let upstream_request_id = headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .and_then(|id| texts.identifier(id, KEY));

        Self {
            status,
            // All members of Polytomic's error are optional.
            is_polytomics: matches!(&sketch, Sketch::Object(members)
                if members.is_empty() || message.is_some() || key.is_some()
                    || !metadata.is_empty() || repeats(&sketch, status)),
            message,
            key,
            extras: texts.extras(&metadata),
            fields: texts.fields(&metadata),
            upstream_request_id,
            retry_after: retry_after(headers, now),
            has_body: !body.trim_ascii().is_empty(),
        }
    }

    /// Reports whether the response is in Polytomic's error format.
    pub(super) const fn is_polytomics(&self) -> bool {
        self.is_polytomics
    }

    /// Reports whether the response would be a verdict on IDs, fields or keys, but is
    /// not in Polytomic's error format: a proxy, firewall or ingress sent it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        !self.is_polytomics && VERDICTS.contains(&self.status.as_u16())
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns Polytomic's own message: clean, one line, 1 KiB at most.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns Polytomic's machine-readable key: printable ASCII, 128 bytes at most.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the wait that the headers request, as stated.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the metadata of Polytomic's that may be shown, by its name in `ErrorInfo`.
    pub(super) fn extras(&self) -> &[(String, String)] {
        &self.extras
    }

    /// Returns the fields that Polytomic rejects.
    pub(super) fn fields(&self) -> &[Violation] {
        &self.fields
    }

    /// Returns the ID that Polytomic gave the request.
    pub(super) fn upstream_request_id(&self) -> Option<&str> {
        self.upstream_request_id.as_deref()
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Polytomic responded with {}", self.status.as_str())?;
        if let Some(message) = &self.message {
            return write!(f, ": {message}");
        }
        if let Some(phrase) = self.status.canonical_reason() {
            write!(f, " {phrase}")?;
        }
        if self.is_foreign() || self.has_body && !self.is_polytomics {
            // The usual cause, which a client cannot guess from the status.
            f.write_str(", not in Polytomic's error format: a proxy may have sent it")?;
        }
        Ok(())
    }
}

/// Reports whether the body repeats the status, as Polytomic's errors do.
fn repeats(sketch: &Sketch, status: StatusCode) -> bool {
    let names = ["status", "status_code", "code"];
    let mut stated = names.iter().filter_map(|name| sketch.get(name)?.scalar());
    stated.any(|stated| stated == status.as_str())
}

/// Returns the objects of metadata, which older versions wrapped in an array.
fn objects(metadata: Option<&Sketch>) -> Vec<&Sketch> {
    match metadata {
        Some(Sketch::Array(items)) => items.iter().collect(),
        one => one.into_iter().collect(),
    }
}
