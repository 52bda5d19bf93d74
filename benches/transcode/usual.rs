//! The usual way to do the same: JSON into structs with serde, then the structs
//! onto the wire with prost.

use prost::Message;
use prost_types::{ListValue, Struct, Timestamp, Value, value::Kind};
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "null_as_empty")]
    data: Vec<Connection>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct Connection {
    #[prost(int64, optional, tag = "1")]
    api_calls_last_24_hours: Option<i64>,
    #[prost(message, optional, tag = "2")]
    #[serde(deserialize_with = "structure")]
    configuration: Option<Struct>,
    #[prost(message, optional, tag = "3")]
    #[serde(deserialize_with = "timestamp")]
    created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    created_by: Option<Actor>,
    #[prost(string, optional, tag = "5")]
    id: Option<String>,
    #[prost(string, optional, tag = "6")]
    name: Option<String>,
    #[prost(string, optional, tag = "7")]
    organization_id: Option<String>,
    #[prost(string, optional, tag = "8")]
    parent_connection_id: Option<String>,
    #[prost(string, repeated, tag = "9")]
    #[serde(deserialize_with = "null_as_empty")]
    policies: Vec<String>,
    #[prost(bool, optional, tag = "10")]
    saved: Option<bool>,
    #[prost(string, optional, tag = "11")]
    status: Option<String>,
    #[prost(string, optional, tag = "12")]
    status_error: Option<String>,
    #[prost(message, optional, tag = "13")]
    r#type: Option<ConnectionType>,
    #[prost(message, optional, tag = "14")]
    #[serde(deserialize_with = "timestamp")]
    updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "15")]
    updated_by: Option<Actor>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct ConnectionType {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    logo_url: Option<String>,
    #[prost(string, optional, tag = "3")]
    name: Option<String>,
    #[prost(string, repeated, tag = "4")]
    #[serde(deserialize_with = "null_as_empty")]
    operations: Vec<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct Actor {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    r#type: Option<String>,
}

/// Reads an answer into structs and encodes them.
pub fn response(json: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<List>(json).unwrap().encode_to_vec()
}

fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn timestamp<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
where
    D: Deserializer<'de>,
{
    // The texts have no escapes, so that they can be borrowed.
    let text = Option::<&str>::deserialize(deserializer)?;
    text.map(str::parse).transpose().map_err(D::Error::custom)
}

fn structure<'de, D>(deserializer: D) -> Result<Option<Struct>, D::Error>
where
    D: Deserializer<'de>,
{
    let object =
        Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?;
    Ok(object.map(to_struct))
}

fn to_struct(object: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct {
        fields: object.into_iter().map(|(key, value)| (key, to_value(value))).collect(),
    }
}

fn to_value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Value { kind: Some(kind) }
}
