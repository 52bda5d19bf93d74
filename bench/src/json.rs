//! How serde reads the fields of a response that are not plain text or numbers.

use prost_types::{ListValue, Struct, Timestamp, value::Kind};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// Reads a list; null is an empty one.
///
/// # Errors
///
/// As the deserializer.
pub fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a time in RFC 3339, or null.
///
/// # Errors
///
/// As the deserializer; if the text is not a time.
pub fn timestamp<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse()).transpose().map_err(D::Error::custom)
}

/// Reads any object, or null.
///
/// # Errors
///
/// As the deserializer; if the value is neither.
pub fn structure<'de, D>(deserializer: D) -> Result<Option<Struct>, D::Error>
where
    D: Deserializer<'de>,
{
    let object = Option::<serde_json::Map<String, Value>>::deserialize(deserializer)?;
    Ok(object.map(to_struct))
}

fn to_struct(object: serde_json::Map<String, Value>) -> Struct {
    Struct {
        fields: object.into_iter().map(|(key, value)| (key, to_value(value))).collect(),
    }
}

fn to_value(json: Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        Value::String(value) => Kind::StringValue(value),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
