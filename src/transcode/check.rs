//! Reads request messages and checks the declared rules of their fields.
//!
//! A violation does not stop the check: the client gets all of them in one
//! response, each with the path of its field within the request.

use std::borrow::Cow;

use super::error::Violation;
use super::wire::{self, Value, Values};
use crate::contract::{Field, Message, Schema};

/// Maximum violations in an error. More would not fit into the trailers.
const MAX_VIOLATIONS: usize = 64;

/// Maximum nesting of messages: protobuf's usual limit.
const MAX_DEPTH: usize = 100;

/// Reads the messages of one request and collects their problems.
pub(super) struct Checker<'s> {
    schema: &'s Schema,
    /// The names of the fields that lead to the current message.
    path: Vec<&'s str>,
    violations: Vec<Violation>,
    /// Why the bytes are not a message of the type.
    malformed: Option<String>,
}

impl<'s> Checker<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, path: Vec::new(), violations: Vec::new(), malformed: None }
    }

    /// Returns why the bytes are not the request message, and the violations.
    pub(super) fn into_problems(self) -> (Option<String>, Vec<Violation>) {
        (self.malformed, self.violations)
    }

    /// Records that a field of the current message breaks a rule. Later violations
    /// of the same field are dropped.
    #[cold]
    pub(super) fn violation(&mut self, field: &str, description: impl Into<String>) {
        let mut name = self.path.join(".");
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(field);
        let is_known = self.violations.iter().any(|violation| violation.field == name);
        if self.violations.len() < MAX_VIOLATIONS && !is_known {
            self.violations
                .push(Violation { field: name, description: description.into() });
        }
    }

    /// Splits the message of a field, by its index in the schema, and lets `write`
    /// have its fields. Violations within `write` are about the inner message.
    pub(super) fn nested(
        &mut self,
        field: &'s Field,
        index: usize,
        bytes: &[u8],
        write: impl FnOnce(&mut Self, &'s Message, &[Values<'_>]),
    ) {
        if self.path.len() == MAX_DEPTH {
            self.malformed =
                Some(format!("messages are nested more than {MAX_DEPTH} deep"));
            return;
        }
        self.path.push(&field.name);
        let message = self.schema.message(index);
        let values = self.split(message, bytes);
        write(self, message, &values);
        self.path.pop();
    }

    /// Returns the values of each field of a message, and checks them. UUIDs are
    /// returned in their canonical form.
    pub(super) fn split<'b>(
        &mut self,
        message: &Message,
        bytes: &'b [u8],
    ) -> Vec<Values<'b>> {
        let mut split = match wire::split(message, bytes) {
            Ok(split) => split,
            Err(problem) => {
                self.malformed =
                    Some(format!("the bytes are not a {}: {problem}", message.name));
                return vec![Values::default(); message.fields.len()];
            }
        };
        for index in split.not_utf8 {
            self.violation(&message.fields[index].name, "must be UTF-8");
        }
        for (field, values) in message.fields.iter().zip(&mut split.values) {
            self.check(field, values);
        }
        for number in split.unknown {
            let description = format!(
                "is not the number of a field of {} in this gateway; leave the field out, or \
                 call a newer gateway",
                message.name
            );
            self.violation(&number.to_string(), description);
        }
        split.values
    }

    fn check(&mut self, field: &Field, values: &mut Values<'_>) {
        let rules = &field.rules;
        if !is_set(field, values) {
            if rules.required {
                let example = if rules.uuid { "; send a UUID" } else { "" };
                self.violation(&field.name, format!("is required{example}"));
            }
            return;
        }
        let Some(Value::String(text)) = values.last_mut() else { return };
        if rules.uuid {
            if !make_canonical(text) {
                self.violation(
                    &field.name,
                    "must be a UUID in its 36-character form, such as \
                     248df4b7-aa70-47b8-a036-33ac447e668d",
                );
            }
            return;
        }
        if rules.min_len.is_some() || rules.max_len.is_some() {
            let length = text.chars().count() as u64;
            if let Some(min) = rules.min_len.filter(|min| length < *min) {
                self.violation(
                    &field.name,
                    format!("must have at least {min} characters if it is set"),
                );
            }
            if let Some(max) = rules.max_len.filter(|max| length > *max) {
                self.violation(
                    &field.name,
                    format!("must have at most {max} characters; it has {length}"),
                );
            }
        }
        if let Some(pattern) =
            rules.pattern.as_ref().filter(|pattern| !pattern.is_match(text))
        {
            self.violation(
                &field.name,
                format!(
                    "must match the regular expression {pattern}; see the field's comment"
                ),
            );
        }
    }
}

/// Reports whether a field is set: present if the field has presence, else not
/// the default. A required string must not be empty either.
pub(super) fn is_set(field: &Field, values: &Values<'_>) -> bool {
    match values.last() {
        None => false,
        Some(Value::Message(_)) => true,
        Some(_) if field.repeated || (field.presence && !field.rules.required) => true,
        Some(value) => !value.is_default(),
    }
}

/// Writes a UUID in lower case. Reports whether the text is a UUID with hyphens, the only
/// form that Polytomic accepts.
fn make_canonical(text: &mut Cow<'_, str>) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];

    let Ok(bytes) = <&[u8; 36]>::try_from(text.as_bytes()) else { return false };
    // Sums, since without an early exit all bytes are compared at the same time.
    let count = |is: fn(&u8) -> bool| bytes.iter().map(|byte| u8::from(is(byte))).sum();
    let digits: u8 = count(u8::is_ascii_hexdigit);
    let upper: u8 = count(u8::is_ascii_uppercase);
    if digits != 32 || HYPHENS.iter().any(|index| bytes[*index] != b'-') {
        return false;
    }
    if upper > 0 {
        text.to_mut().make_ascii_lowercase();
    }
    true
}
