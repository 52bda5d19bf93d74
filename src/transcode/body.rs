//! Request messages, written as JSON.
//!
//! Polytomic's JSON is that of a REST API, not protobuf's: 64-bit integers are
//! numbers, not strings.

use prost::Message as _;
use prost_types::value::Kind as Dynamic;

use super::{
    check::{Checker, is_set},
    wire::{Value, Values},
};
use crate::contract::{Field, Kind};

/// Writes the fields of a message that are set as a JSON object.
pub(super) fn write_object<'s: 'v, 'v, 'b: 'v>(
    checker: &mut Checker<'s>,
    fields: impl Iterator<Item = (&'s Field, &'v Values<'b>)>,
    json: &mut Vec<u8>,
) {
    json.push(b'{');
    let start = json.len();
    for (field, values) in fields.filter(|(field, values)| is_set(field, values)) {
        if json.len() > start {
            json.push(b',');
        }
        json.extend_from_slice(field.literal.as_bytes());
        write_field(checker, field, values, json);
    }
    json.push(b'}');
}

/// Writes the value of a field that is set. A value without a JSON form is a
/// violation.
pub(super) fn write_field<'s>(
    checker: &mut Checker<'s>,
    field: &'s Field,
    values: &Values<'_>,
    json: &mut Vec<u8>,
) {
    if !field.repeated {
        if let Some(value) = values.last() {
            write_value(checker, field, value, json);
        }
        return;
    }
    json.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_value(checker, field, value, json);
    }
    json.push(b']');
}

fn write_value<'s>(
    checker: &mut Checker<'s>,
    field: &'s Field,
    value: &Value<'_>,
    json: &mut Vec<u8>,
) {
    match value {
        Value::Message(bytes) => write_message(checker, field, bytes, json),
        Value::Float(number) if !number.is_finite() => not_finite(checker, field),
        Value::Double(number) if !number.is_finite() => not_finite(checker, field),
        Value::String(text) => write_string(text, json),
        Value::Bytes(_) => write_string(&value.text(), json),
        _ => json.extend_from_slice(value.text().as_bytes()),
    }
}

fn not_finite(checker: &mut Checker<'_>, field: &Field) {
    checker.violation(&field.name, "must be finite: JSON has no other numbers");
}

fn write_message<'s>(
    checker: &mut Checker<'s>,
    field: &'s Field,
    bytes: &[u8],
    json: &mut Vec<u8>,
) {
    let written = match field.kind {
        Kind::Message(index) => {
            checker.nested(field, index, bytes, |checker, message, values| {
                write_object(checker, message.fields.iter().zip(values), json);
            });
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
        checker.violation(
            &field.name,
            "has no JSON form: a number is not finite, a value is unset, a time is not in the \
             years 1 to 9999, or the bytes are not of the type",
        );
    }
}

/// Writes a value of `google.protobuf.Value`. Returns `None` if it has no JSON
/// form.
fn write_dynamic(value: &Dynamic, json: &mut Vec<u8>) -> Option<()> {
    match value {
        Dynamic::NullValue(_) => json.extend_from_slice(b"null"),
        Dynamic::BoolValue(value) => json.extend_from_slice(value.to_string().as_bytes()),
        Dynamic::NumberValue(number) if number.is_finite() => {
            // Each digit of an integer: by default, those that do not identify the
            // double are zeros, and a reader of integers would read another one.
            let is_integer = number.fract() == 0.0;
            let text =
                if is_integer { format!("{number:.0}") } else { number.to_string() };
            json.extend_from_slice(text.as_bytes());
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

fn write_string(text: &str, json: &mut Vec<u8>) {
    // Without an early exit, sixteen bytes are compared at the same time.
    if !text.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        return;
    }
    serde_json::to_writer(json, text).expect("each string has a JSON form");
}

/// Reports whether a JSON string cannot contain a byte as it is: RFC 8259, section 7.
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Reports whether RFC 3339 can write a time: the years 0001 to 9999.
fn is_in_range(timestamp: &prost_types::Timestamp) -> bool {
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    (YEAR_1..YEAR_10000).contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_any_shape_has_each_digit_of_an_integer() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5432.0, "5432"),
            (0.1, "0.1"),
            (-1.5e-7, "-0.00000015"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (18_446_744_073_709_551_616.0, "18446744073709551616"),
            (-1e23, "-99999999999999991611392"),
        ] {
            let mut json = Vec::new();
            let written = write_dynamic(&Dynamic::NumberValue(number), &mut json);
            assert_eq!(written, Some(()), "{text}");
            assert_eq!(String::from_utf8_lossy(&json), text);
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let number = Dynamic::NumberValue(number);
            assert_eq!(write_dynamic(&number, &mut Vec::new()), None);
        }
    }
}
