//! The parts of an error response that clients may see.
//!
//! Polytomic's error body has changed with its API's versions, and a proxy may
//! respond in its place. Of any body only a few short, clean texts are kept.

use std::{fmt, time::Duration, time::SystemTime};

use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{retry_after::retry_after, sketch::Sketch, text};
use crate::transcode::Violation;

/// Bytes of Polytomic's message that are kept.
const MESSAGE: usize = 1024;

/// Bytes of Polytomic's `key` and request id that are kept.
const KEY: usize = 128;

/// Bytes of all metadata that is passed on, names included.
const EXTRAS: usize = 384;

/// Bytes of one value of that metadata.
const EXTRA: usize = 96;

/// Bytes of the list of what uses the resource.
const USED_BY: usize = 224;

/// Entries of that list that are kept.
const USERS: usize = 8;

/// Invalid fields that are kept.
const FIELDS: usize = 8;

/// Polytomic's metadata that is passed on, beside the UUIDs of resources.
///
/// The rest is arbitrary JSON and may hold anything, secrets included.
const ALLOWED: &[&str] = &[
    "reason",
    "code",
    "field",
    "param",
    "limit",
    "version",
    "type",
    "resource",
    "resource_type",
    "resource_id",
];

/// How the names of resources' IDs end. Their values are passed on if they are UUIDs.
const ID: &str = "_id";

/// Bytes of such a name.
const ID_NAME: usize = 32;

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
    is_foreign: bool,
}

impl ErrorResponse {
    /// Reduces a response; `body` may be anything, or the start of anything.
    ///
    /// The shapes read are the current `{"key", "message", "status", "metadata"}`
    /// and the older `{"error": {"message"}}`, `{"error": ".."}` and
    /// `{"message", "status_code", "metadata": [..]}`. Other text is never shown.
    #[must_use]
    pub fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::at(status, headers, body, SystemTime::now())
    }

    /// As [`ErrorResponse::new`], at a given time.
    #[must_use]
    pub fn at(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Self {
        let sketch = Sketch::read(body);
        let error = sketch.get("error");
        let nested = |name| error.and_then(|error| error.get(name));
        let message = [sketch.get("message"), nested("message"), error]
            .into_iter()
            .flatten()
            .filter_map(Sketch::text)
            .find_map(message);
        let key = [sketch.get("key"), nested("key")]
            .into_iter()
            .flatten()
            .filter_map(Sketch::text)
            .find_map(|key| {
                Some(text::identifier(key, KEY)).filter(|key| !key.is_empty())
            });
        let metadata = objects(sketch.get("metadata"));
        let upstream_request_id = headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .map(|id| text::identifier(id, KEY))
            .filter(|id| !id.is_empty());

        Self {
            status,
            message,
            key,
            extras: extras(&metadata),
            fields: fields(&metadata),
            upstream_request_id,
            retry_after: retry_after(headers, now),
            is_foreign: !body.trim_ascii().is_empty()
                && !matches!(sketch, Sketch::Object(_)),
        }
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

    /// Returns the wait that the headers request, 60 s at most.
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
        if self.is_foreign {
            // The usual cause, which a client cannot guess from the status.
            f.write_str(", not in Polytomic's error format: a proxy may have sent it")?;
        }
        Ok(())
    }
}

fn message(raw: &str) -> Option<String> {
    let message = text::clean(raw, MESSAGE);
    let is_markup = message.starts_with('<');
    (!message.is_empty() && !is_markup).then_some(message)
}

/// Returns the objects of metadata, which older versions wrapped in an array.
fn objects(metadata: Option<&Sketch>) -> Vec<&Sketch> {
    match metadata {
        Some(Sketch::Array(items)) => items.iter().collect(),
        one => one.into_iter().collect(),
    }
}

fn find<'a>(metadata: &[&'a Sketch], name: &str) -> Option<&'a Sketch> {
    metadata.iter().find_map(|object| object.get(name))
}

fn extras(metadata: &[&Sketch]) -> Vec<(String, String)> {
    let used_by = find(metadata, "used_by").and_then(used_by);
    let used_by = used_by.map(|users| ("used_by", users));
    let scalars = ALLOWED.iter().filter_map(|name| {
        let value = text::clean(find(metadata, name)?.scalar()?, EXTRA);
        (!value.is_empty()).then_some((*name, value))
    });
    let ids = metadata.iter().flat_map(|object| object.members()).filter_map(id);
    let mut room = EXTRAS;
    let fits = |(name, value): &(String, String)| {
        let rest = room.checked_sub(name.len() + value.len());
        room = rest.unwrap_or(room);
        rest.is_some()
    };
    used_by
        .into_iter()
        .chain(scalars)
        .chain(ids)
        .map(|(name, value)| (shown(name), value))
        .filter(fits)
        .collect()
}

/// Returns a member that is the ID of a resource: `{"<resource>_id": "<UUID>"}`.
fn id((name, value): &(String, Sketch)) -> Option<(&str, String)> {
    let is_name = |c: u8| c.is_ascii_lowercase() || c == b'_';
    let is_id = name.len() <= ID_NAME
        && name.ends_with(ID)
        && name.bytes().all(is_name)
        && !ALLOWED.contains(&name.as_str());
    let value = value.text().filter(|_| is_id)?;
    Uuid::try_parse(value).ok().map(|id| (name.as_str(), id.to_string()))
}

/// Returns the name of Polytomic's metadata in `ErrorInfo`: `a_b` as `upstreamAB`.
fn shown(name: &str) -> String {
    let words = name.split('_').flat_map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters)
    });
    "upstream".chars().chain(words).collect()
}

/// Lists what uses the resource: `model Orders (<id>); ..`.
fn used_by(users: &Sketch) -> Option<String> {
    let Sketch::Array(users) = users else { return None };
    let describe = |user: &Sketch| {
        let part = |name| user.get(name).and_then(Sketch::scalar).unwrap_or_default();
        format!("{} {} ({})", part("type"), part("name"), part("id"))
    };
    let mut list: Vec<String> = users.iter().take(USERS).map(describe).collect();
    if users.len() > USERS {
        list.push("and more".to_owned());
    }
    (!list.is_empty()).then(|| text::clean(&list.join("; "), USED_BY))
}

/// Reads which fields are invalid: `{"field": ..}`, or `fields` or `errors` as a
/// list of names, a list of objects, or an object from name to text.
fn fields(metadata: &[&Sketch]) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(name) = find(metadata, "field").and_then(Sketch::text) {
        found.extend(violation(name, None));
    }
    for list in ["fields", "errors"].iter().filter_map(|name| find(metadata, name)) {
        match list {
            Sketch::Object(members) => {
                found.extend(members.iter().filter_map(|(name, why)| {
                    violation(name, why.text().or_else(|| first_text(why)))
                }));
            }
            Sketch::Array(items) => found.extend(items.iter().filter_map(|item| {
                let name = item.get("field").or_else(|| item.get("name")).unwrap_or(item);
                violation(name.text()?, item.get("message").and_then(Sketch::text))
            })),
            _ => {}
        }
    }
    found.truncate(FIELDS);
    found
}

fn first_text(list: &Sketch) -> Option<&str> {
    let Sketch::Array(items) = list else { return None };
    items.iter().find_map(Sketch::text)
}

fn violation(field: &str, why: Option<&str>) -> Option<Violation> {
    let field = text::identifier(field, 64);
    let description = why.and_then(message);
    let description =
        description.unwrap_or_else(|| "was rejected by Polytomic".to_owned());
    let is_name = field.starts_with(|c: char| c.is_ascii_alphabetic());
    is_name.then_some(Violation { field, description })
}
