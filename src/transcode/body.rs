//! Request messages, written out as JSON.
//!
//! Polytomic is a REST API, not a protobuf one: 64-bit integers are numbers
//! here, not the strings of protobuf's JSON.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message as _;
use prost_types::value::Kind as Dynamic;

use super::{
    request::Reader,
    wire::{Value, Values},
};
use crate::contract::{Field, Kind};

/// Writes the fields of one message as a JSON object.
pub(super) struct Object {
    json: Vec<u8>,
}

impl Object {
    pub(super) fn new() -> Self {
        Self { json: b"{".to_vec() }
    }

    pub(super) fn push(&mut self, field: &Field, json: &[u8]) {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        write_string(&field.key, &mut self.json);
        self.json.push(b':');
        self.json.extend_from_slice(json);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.json.push(b'}');
        self.json
    }
}

/// Writes the value of a field. What has no JSON form is a violation, noted by
/// `reader`, and leaves `null`.
pub(super) fn field(
    reader: &mut Reader<'_>,
    field: &Field,
    values: &Values<'_>,
) -> Vec<u8> {
    let mut json = Vec::new();
    if !field.repeated {
        if let Some(value) = values.last() {
            write_value(reader, field, value, &mut json);
        }
        return json;
    }
    json.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_value(reader, field, value, &mut json);
    }
    json.push(b']');
    json
}

fn write_value(
    reader: &mut Reader<'_>,
    field: &Field,
    value: &Value<'_>,
    json: &mut Vec<u8>,
) {
    match value {
        Value::Message(bytes) => write_message(reader, field, bytes, json),
        Value::Float(number) => {
            write_number(reader, field, f64::from(*number), value, json);
        }
        Value::Double(number) => write_number(reader, field, *number, value, json),
        Value::Bool(_) | Value::Signed(_) | Value::Unsigned(_) => {
            json.extend_from_slice(text(value).as_bytes());
        }
        Value::String(_) | Value::Bytes(_) => write_string(&text(value), json),
    }
}

fn write_number(
    reader: &mut Reader<'_>,
    field: &Field,
    number: f64,
    value: &Value<'_>,
    json: &mut Vec<u8>,
) {
    if number.is_finite() {
        json.extend_from_slice(text(value).as_bytes());
    } else {
        reader.violation(&field.name, "must be a finite number: JSON has no other");
        json.extend_from_slice(b"null");
    }
}

fn write_message(
    reader: &mut Reader<'_>,
    field: &Field,
    bytes: &[u8],
    json: &mut Vec<u8>,
) {
    let written = match field.kind {
        Kind::Message(place) => {
            json.extend_from_slice(&reader.nested(field, place, bytes));
            Some(())
        }
        Kind::Timestamp => prost_types::Timestamp::decode(bytes)
            .ok()
            .filter(is_in_range)
            .map(|timestamp| write_string(&timestamp.to_string(), json)),
        Kind::Struct => prost_types::Struct::decode(bytes)
            .ok()
            .and_then(|object| write_dynamic(&Dynamic::StructValue(object), json)),
        Kind::ListValue => prost_types::ListValue::decode(bytes)
            .ok()
            .and_then(|list| write_dynamic(&Dynamic::ListValue(list), json)),
        _ => prost_types::Value::decode(bytes)
            .ok()
            .and_then(|value| write_dynamic(&value.kind?, json)),
    };
    if written.is_none() {
        reader.violation(
            &field.name,
            "has no JSON form: a number is not finite, a value is unset, a time is not in the \
             years 1 to 9999, or the bytes are not of the type",
        );
        json.extend_from_slice(b"null");
    }
}

/// Writes a value of `google.protobuf.Value`. `None` if it has no JSON form.
fn write_dynamic(value: &Dynamic, json: &mut Vec<u8>) -> Option<()> {
    match value {
        Dynamic::NullValue(_) => json.extend_from_slice(b"null"),
        Dynamic::BoolValue(value) => json.extend_from_slice(value.to_string().as_bytes()),
        Dynamic::NumberValue(number) if number.is_finite() => {
            json.extend_from_slice(number.to_string().as_bytes());
        }
        Dynamic::NumberValue(_) => return None,
        Dynamic::StringValue(text) => write_string(text, json),
        Dynamic::ListValue(list) => {
            json.push(b'[');
            for (index, value) in list.values.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_dynamic(value.kind.as_ref()?, json)?;
            }
            json.push(b']');
        }
        Dynamic::StructValue(object) => {
            json.push(b'{');
            for (index, (key, value)) in object.fields.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_string(key, json);
                json.push(b':');
                write_dynamic(value.kind.as_ref()?, json)?;
            }
            json.push(b'}');
        }
    }
    Some(())
}

/// Returns a scalar as text, in the form that paths, queries and JSON share.
pub(super) fn text<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Bool(value) => value.to_string().into(),
        Value::Signed(number) => number.to_string().into(),
        Value::Unsigned(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        Value::Double(number) => number.to_string().into(),
        Value::String(text) => text.as_ref().into(),
        Value::Bytes(bytes) | Value::Message(Cow::Borrowed(bytes)) => {
            BASE64_STANDARD.encode(bytes).into()
        }
        Value::Message(Cow::Owned(bytes)) => BASE64_STANDARD.encode(bytes).into(),
    }
}

fn write_string(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text).expect("a string always has a JSON form");
}

/// Tells the times that RFC 3339 can write: the years 0001 to 9999.
fn is_in_range(timestamp: &prost_types::Timestamp) -> bool {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    (YEAR_1..YEAR_10000).contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos)
}
