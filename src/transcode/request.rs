//! Request message → REST request.
//!
//! The binding says which field goes into the path, the query and the body;
//! the declared rules say what a field may hold. Every violation is reported,
//! not only the first one, and nothing of the message is silently left out.

use std::borrow::Cow;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::{
    body::{self, Object},
    error::{RequestError, Violation},
    wire::{self, Value, Values},
};
use crate::contract::{Body, Field, Place, Rpc, Schema, Segment};

/// Everything but the characters that RFC 3986 §2.3 leaves without a meaning.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many violations are told at once. More would not fit into the trailers.
const MOST_VIOLATIONS: usize = 64;

/// How deep messages may lie within one another: protobuf's usual limit.
const MAX_DEPTH: usize = 100;

/// A REST request, but for the upstream it goes to and its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path, and the query if there is one. Starts with `/`.
    pub path_and_query: String,
    /// The JSON body, if the binding has one.
    pub body: Option<Vec<u8>>,
    /// What the path names, if the `.proto` file says what kind of thing it is:
    /// the value of the last path variable with a `google.api.resource_reference`.
    pub resource: Option<Resource>,
}

/// A thing at Polytomic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The kind of thing, for example `polytomic.Connection`.
    pub kind: String,
    /// Its id.
    pub name: String,
}

/// Translates the wire bytes of a request message.
///
/// # Errors
///
/// If the bytes are not a request message of the RPC, have a field that it
/// does not have, or break a declared rule.
pub fn request(rpc: &Rpc, message: &[u8]) -> Result<RestRequest, RequestError> {
    let mut reader = Reader {
        schema: &rpc.request,
        path: Vec::new(),
        violations: Vec::new(),
        failed: None,
    };
    let fields = reader.fields(0, message);
    if let Some(problem) = reader.failed.take() {
        return Err(RequestError::Malformed(problem));
    }

    let binding = &rpc.binding;
    let top: Vec<(&Field, &Values<'_>)> =
        rpc.request.root().fields.iter().zip(&fields).collect();
    let mut path = String::new();
    let mut resource = None;
    for segment in binding.template.segments() {
        path.push('/');
        match segment {
            Segment::Literal(text) => path.push_str(text),
            Segment::Variable(name) => {
                let Some((field, values)) =
                    top.iter().find(|(field, _)| field.name == *name)
                else {
                    continue;
                };
                let text = values.last().map(body::text).unwrap_or_default();
                path.extend(segment_text(&mut reader, name, &text));
                if let Some(kind) = field.rules.resource.clone() {
                    resource = Some(Resource { kind, name: text.into_owned() });
                }
            }
        }
    }

    let mut query = String::new();
    let mut object = Object::new();
    let mut single = None;
    for (field, values) in top {
        match binding.place(&field.name) {
            Place::Query if is_set(field, values) => {
                for value in values {
                    push_query(&mut query, field, value);
                }
            }
            Place::Body if is_set(field, values) => {
                let json = body::field(&mut reader, field, values);
                object.push(field, &json);
                single = Some(json);
            }
            _ => {}
        }
    }
    let body = match &binding.body {
        Body::None => None,
        Body::Rest => Some(object.finish()),
        Body::Field(_) => Some(single.unwrap_or_else(|| b"null".to_vec())),
    };

    match (reader.failed, reader.violations) {
        (Some(problem), _) => Err(RequestError::Malformed(problem)),
        (None, violations) if !violations.is_empty() => {
            Err(RequestError::Invalid(violations))
        }
        _ => Ok(RestRequest {
            method: binding.method.clone(),
            path_and_query: path + &query,
            body,
            resource,
        }),
    }
}

/// Reads messages and gathers what is wrong with them.
pub(super) struct Reader<'s> {
    schema: &'s Schema,
    /// The names of the fields that lead to the message being read.
    path: Vec<String>,
    violations: Vec<Violation>,
    /// Why the bytes are no message of the type, if they are none.
    failed: Option<String>,
}

impl Reader<'_> {
    /// Notes that a field of the message being read breaks a rule.
    ///
    /// The first violation of a field is the one to tell.
    pub(super) fn violation(&mut self, field: &str, description: impl Into<String>) {
        let mut name = self.path.join(".");
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(field);
        let has_room = self.violations.len() < MOST_VIOLATIONS;
        if has_room && self.violations.iter().all(|violation| violation.field != name) {
            self.violations
                .push(Violation { field: name, description: description.into() });
        }
    }

    /// Returns the JSON object of a message within the one being read.
    pub(super) fn nested(
        &mut self,
        field: &Field,
        place: usize,
        bytes: &[u8],
    ) -> Vec<u8> {
        let mut object = Object::new();
        if self.path.len() == MAX_DEPTH {
            self.failed = Some(format!("messages lie more than {MAX_DEPTH} deep"));
            return object.finish();
        }
        self.path.push(field.name.clone());
        let schema = self.schema;
        let fields = self.fields(place, bytes);
        for (field, values) in schema.message(place).fields.iter().zip(&fields) {
            if is_set(field, values) {
                let json = body::field(self, field, values);
                object.push(field, &json);
            }
        }
        self.path.pop();
        object.finish()
    }

    /// Splits a message and checks the rules of its fields. UUIDs come back in
    /// their canonical form.
    fn fields<'b>(&mut self, place: usize, bytes: &'b [u8]) -> Vec<Values<'b>> {
        let message = self.schema.message(place);
        let mut fields = match wire::decode(message, bytes) {
            Ok(fields) => fields,
            Err(problem) => {
                self.failed =
                    Some(format!("the bytes are not a {}: {problem}", message.name));
                return vec![Values::new(); message.fields.len()];
            }
        };
        for place in fields.not_utf8 {
            self.violation(&message.fields[place].name, "must be UTF-8");
        }
        for (field, values) in message.fields.iter().zip(&mut fields.values) {
            self.check(field, values);
        }
        for number in fields.unknown {
            let description = format!(
                "{} has no field of this number here; leave the field out, or call a newer \
                 gateway",
                message.name
            );
            self.violation(&number.to_string(), description);
        }
        fields.values
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
            match canonical_uuid(text) {
                Some(uuid) => *text = Cow::Owned(uuid),
                None => self.violation(
                    &field.name,
                    "must be a UUID in its 36-character form, such as \
                     248df4b7-aa70-47b8-a036-33ac447e668d",
                ),
            }
            return;
        }
        let length = text.chars().count() as u64;
        if let Some(least) = rules.min_len.filter(|least| length < *least) {
            self.violation(
                &field.name,
                format!("must have at least {least} characters if it is set"),
            );
        }
        if let Some(most) = rules.max_len.filter(|most| length > *most) {
            self.violation(
                &field.name,
                format!("must have at most {most} characters; it has {length}"),
            );
        }
        if let Some(pattern) =
            rules.pattern.as_ref().filter(|regex| !regex.is_match(text))
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

/// Reports whether a field is set: present, if that can be told, else not the
/// default. A required string must not be empty either.
fn is_set(field: &Field, values: &Values<'_>) -> bool {
    match values.last() {
        None => false,
        Some(Value::Message(_)) => true,
        Some(_) if field.repeated || (field.presence && !field.rules.required) => true,
        Some(value) => !is_default(value),
    }
}

fn is_default(value: &Value<'_>) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Signed(number) => *number == 0,
        Value::Unsigned(number) => *number == 0,
        // Bits, since protobuf tells -0 from 0.
        Value::Float(number) => number.to_bits() == 0,
        Value::Double(number) => number.to_bits() == 0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Message(_) => false,
    }
}

/// Returns the text of a path variable, escaped so that it stays one segment.
fn segment_text(reader: &mut Reader<'_>, name: &str, text: &str) -> Option<String> {
    // An empty segment and a dot segment would make another path of it.
    if text.is_empty() || text == "." || text == ".." {
        reader.violation(name, "is part of the path and must not be empty, `.` or `..`");
        return None;
    }
    Some(utf8_percent_encode(text, RESERVED).to_string())
}

fn push_query(query: &mut String, field: &Field, value: &Value<'_>) {
    query.push(if query.is_empty() { '?' } else { '&' });
    query.extend(utf8_percent_encode(&field.key, RESERVED));
    query.push('=');
    query.extend(utf8_percent_encode(&body::text(value), RESERVED));
}

/// Returns a UUID in lower case with hyphens. The other forms that the UUID
/// parser takes (simple, braced, URN) are not Polytomic's.
fn canonical_uuid(text: &str) -> Option<String> {
    if text.len() != 36 {
        return None;
    }
    Uuid::try_parse(text).ok().map(|uuid| uuid.hyphenated().to_string())
}

#[cfg(test)]
mod tests;
