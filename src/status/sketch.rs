//! Reads JSON of unknown shape and any size into a sketch of bounded size.
//!
//! An error body may be anything. Only a few of its strings are used, and a whole
//! tree of it would let Polytomic spend the gateway's memory.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::text;

/// Members of an object that are kept. Polytomic's error has four.
const MEMBERS: usize = 32;

/// Items of an array that are kept; no list of an error is shown in full.
const ITEMS: usize = 16;

/// Bytes of a string that are kept, more than any text that is shown.
const TEXT: usize = 8 * 1024;

/// Levels that are kept: error, metadata, list, entry, and the entry's values.
const DEPTH: u8 = 5;

/// A JSON value, reduced.
#[derive(Debug, PartialEq)]
pub(super) enum Sketch {
    /// A string, cut.
    Text(String),
    /// A number or boolean, printed.
    Scalar(String),
    /// The first members of an object, in order.
    Object(Vec<(String, Sketch)>),
    /// The first items of an array.
    Array(Vec<Sketch>),
    /// `null`, or what lies too deep.
    Nothing,
}

impl Sketch {
    /// Reads JSON, or nothing if there is none. What follows it is not looked at.
    pub(super) fn read(json: &[u8]) -> Self {
        let mut reader = serde_json::Deserializer::from_slice(json);
        Seed(DEPTH).deserialize(&mut reader).unwrap_or(Self::Nothing)
    }

    /// Returns the members of an object.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// Returns a member of an object: the first of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// Returns the text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a string, number or boolean as text.
    pub(super) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads one value, down to so many levels.
struct Seed(u8);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Sketch;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Sketch, D::Error> {
        if self.0 == 0 {
            IgnoredAny::deserialize(reader)?;
            return Ok(Sketch::Nothing);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Sketch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Sketch, E> {
        Ok(Sketch::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Sketch, E> {
        Ok(Sketch::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Sketch, E> {
        Ok(Sketch::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Sketch, E> {
        Ok(Sketch::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Sketch, E> {
        Ok(Sketch::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Sketch, E> {
        Ok(Sketch::Text(text::prefix(value, TEXT).to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sketch, A::Error> {
        let mut members = Vec::new();
        while members.len() < MEMBERS {
            let Some(name) = map.next_key::<String>()? else {
                return Ok(Sketch::Object(members));
            };
            members.push((name, map.next_value_seed(Seed(self.0 - 1))?));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Sketch::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sketch, A::Error> {
        let mut items = Vec::new();
        while items.len() < ITEMS {
            let Some(item) = list.next_element_seed(Seed(self.0 - 1))? else {
                return Ok(Sketch::Array(items));
            };
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Sketch::Array(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_sketched() {
        let sketch =
            Sketch::read(br#"{"a":"x","b":[1,-2,1.5,true,null],"a":"later"} trailing"#);
        let scalar = |text: &str| Sketch::Scalar(text.to_owned());
        assert_eq!(sketch.get("a"), Some(&Sketch::Text("x".to_owned())));
        assert_eq!(
            sketch.get("b"),
            Some(&Sketch::Array(vec![
                scalar("1"),
                scalar("-2"),
                scalar("1.5"),
                scalar("true"),
                Sketch::Nothing
            ]))
        );
    }

    #[test]
    fn what_is_deep_long_or_wide_is_left_out() {
        let deep = format!(
            r#"{{"deep":{}1{},"message":"kept"}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(
            Sketch::read(deep.as_bytes()).get("message").and_then(Sketch::text),
            Some("kept")
        );

        let wide = format!("[{}0]", "{},".repeat(100_000));
        assert!(
            matches!(Sketch::read(wide.as_bytes()), Sketch::Array(items) if items.len() == ITEMS)
        );

        let long = format!(r#""{}""#, "ä".repeat(500_000));
        assert!(
            matches!(Sketch::read(long.as_bytes()), Sketch::Text(text) if text.len() == TEXT)
        );
    }

    #[test]
    fn no_json_is_nothing() {
        for body in [
            &b""[..],
            b"<html>",
            b"oops",
            b"{\"message\":\"cut",
            b"\xff\xfe",
            b"{\"a\":\"\xff\"}",
        ] {
            assert_eq!(Sketch::read(body), Sketch::Nothing, "{body:?}");
        }
    }
}
