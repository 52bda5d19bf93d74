//! The problem with a response, and its place.

use std::borrow::Cow;

use crate::{contract::Message, transcode::json};

/// Why the JSON of a response is not a message of the schema.
///
/// States the place: the byte, or the keys and indices that lead to the value.
/// Quotes nothing from the JSON.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ResponseError(Box<Problem>);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Json(json::Error),
    #[error("the message is larger than its limit")]
    TooLarge,
    #[error("{}: {reason}", if path.is_empty() { "the response" } else { path })]
    Value { path: String, reason: Cow<'static, str> },
}

impl ResponseError {
    /// Returns the error that there is no room for the message.
    #[cold]
    pub(super) fn too_large() -> Self {
        Self(Box::new(Problem::TooLarge))
    }

    /// Reports whether the response may be right, but its message needs more room.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(*self.0, Problem::TooLarge)
    }

    /// Reports whether more text might be without this error.
    pub(in crate::transcode) fn is_early_end(&self) -> bool {
        matches!(*self.0, Problem::Json(error) if error.is_early_end())
    }

    /// Returns the same error of a text that begins after this many bytes of another.
    #[cold]
    pub(in crate::transcode) fn after(mut self, bytes: usize) -> Self {
        if let Problem::Json(error) = &mut *self.0 {
            *error = error.after(bytes);
        }
        self
    }

    /// Returns an error about the current value.
    #[cold]
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Problem::Value { path: String::new(), reason: reason.into() }))
    }

    /// Returns an error about required fields that are missing, one per bit.
    #[cold]
    pub(super) fn missing(message: &Message, bits: u64) -> Self {
        let keys: Vec<&str> = message
            .fields
            .iter()
            .enumerate()
            .filter(|(index, _)| bits >> index & 1 == 1)
            .map(|(_, field)| field.key.as_str())
            .collect();
        Self::new("must be set, but is missing, null or empty").within(&keys.join(", "))
    }

    /// Returns an error about an object with keys, none of which is one of its fields.
    #[cold]
    pub(super) fn foreign(message: &Message) -> Self {
        let keys: Vec<&str> =
            message.fields.iter().map(|field| field.key.as_str()).collect();
        Self::new(format!("has none of the keys `{}`", keys.join("`, `")))
    }

    /// Returns an error about a value that is nested too deep.
    #[cold]
    pub(super) fn too_deep(limit: usize, what: &str) -> Self {
        Self::new(format!("is nested deeper than {limit} {what}, the supported maximum"))
    }

    /// Puts a key before the path.
    #[cold]
    pub(in crate::transcode) fn within(mut self, key: &str) -> Self {
        if let Problem::Value { path, .. } = &mut *self.0 {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            path.insert_str(0, dot);
            path.insert_str(0, key);
        }
        self
    }

    /// Puts an index before the path.
    #[cold]
    pub(in crate::transcode) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

impl From<json::Error> for ResponseError {
    #[cold]
    fn from(error: json::Error) -> Self {
        Self(Box::new(Problem::Json(error)))
    }
}
