//! The usual way to do the same: JSON into structs with serde, then the structs
//! onto the wire with prost.

use std::{collections::BTreeMap, fmt};

use prost::Message;
use prost_types::{ListValue, Struct, Timestamp, Value, value::Kind};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct List {
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

/// Reads a response into structs and encodes them.
pub(crate) fn response(json: &[u8]) -> Vec<u8> {
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
    match Option::<Any>::deserialize(deserializer)?.map(|Any(value)| value.kind) {
        None => Ok(None),
        Some(Some(Kind::StructValue(object))) => Ok(Some(object)),
        Some(_) => Err(D::Error::custom("not an object")),
    }
}

/// Reads JSON into a `Value` directly, with no `serde_json::Value` in between.
struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(AnyVisitor)
            .map(|kind| Self(Value { kind: Some(kind) }))
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::NullValue(0))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::BoolValue(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "a Value has no integers")]
    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "a Value has no integers")]
    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::StringValue(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let mut values = Vec::new();
        while let Some(Any(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Kind::ListValue(ListValue { values }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, Any(value))) = map.next_entry()? {
            fields.insert(key, value);
        }
        Ok(Kind::StructValue(Struct { fields }))
    }
}
