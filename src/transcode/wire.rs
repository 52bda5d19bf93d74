//! The protobuf wire format, read as far as a request needs it.
//!
//! A message is split into the values of its fields, which borrow from the
//! request. Messages within it stay bytes until they are written.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::contract::{Field, Kind, Message};

/// Maximum unknown fields to report per message. A request can hold thousands.
const MAX_UNKNOWN: usize = 16;

/// A value as it is on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    /// Borrowed from the request, unless it is not UTF-8 there.
    String(Cow<'a, str>),
    Bytes(&'a [u8]),
    Message(Cow<'a, [u8]>),
}

/// The values of one field, in the order of the wire.
///
/// The last value is outside the vector, so that a field that is not a list needs
/// no allocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values<'a> {
    earlier: Vec<Value<'a>>,
    last: Option<Value<'a>>,
}

/// A message, split.
#[derive(Debug, Default)]
pub(super) struct Split<'a> {
    /// The values of each field, in the order of the message type. A field that
    /// is not a list has at most one value: the last one on the wire or, if it is
    /// a message, all of them merged, as protobuf requires.
    pub(super) values: Vec<Values<'a>>,
    /// The numbers of the fields that the message type does not have.
    pub(super) unknown: Vec<u32>,
    /// The indices of the string fields with a value that is not UTF-8.
    pub(super) not_utf8: Vec<usize>,
}

impl Value<'_> {
    /// Returns a scalar as text, in the form that paths, queries and JSON share.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Bool(value) => if *value { "true" } else { "false" }.into(),
            Self::Signed(number) => number.to_string().into(),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Float(number) => number.to_string().into(),
            Self::Double(number) => number.to_string().into(),
            Self::String(text) => text.as_ref().into(),
            Self::Bytes(bytes) => BASE64_STANDARD.encode(bytes).into(),
            Self::Message(bytes) => BASE64_STANDARD.encode(bytes).into(),
        }
    }

    /// Reports whether a scalar is the default of its type.
    pub(super) fn is_default(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Signed(number) => *number == 0,
            Self::Unsigned(number) => *number == 0,
            // Bits, since protobuf distinguishes -0 from 0.
            Self::Float(number) => number.to_bits() == 0,
            Self::Double(number) => number.to_bits() == 0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Message(_) => false,
        }
    }
}

impl<'a> Values<'a> {
    pub(super) fn last(&self) -> Option<&Value<'a>> {
        self.last.as_ref()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Value<'a>> {
        self.last.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Value<'a>> {
        self.earlier.iter().chain(&self.last)
    }

    fn push(&mut self, value: Value<'a>) {
        self.earlier.extend(self.last.replace(value));
    }

    /// Replaces the value of a field that is not a list. Messages on the wire one
    /// after the other merge.
    fn set(&mut self, value: Value<'a>) {
        let value = match (self.last.take(), value) {
            (Some(Value::Message(earlier)), Value::Message(later)) => {
                let mut both = earlier.into_owned();
                both.extend_from_slice(&later);
                Value::Message(both.into())
            }
            (_, later) => later,
        };
        self.last = Some(value);
    }
}

/// Splits a message.
///
/// # Errors
///
/// If the bytes are not a message of the type; states the problem.
pub(super) fn split<'a>(message: &Message, bytes: &'a [u8]) -> Result<Split<'a>, String> {
    let values = vec![Values::default(); message.fields.len()];
    let mut split = Split { values, ..Split::default() };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire_type) =
            decode_key(&mut rest).map_err(|error| error.to_string())?;
        let Some(index) = message.fields.iter().position(|field| field.number == number)
        else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())
                .map_err(|error| error.to_string())?;
            if split.unknown.len() < MAX_UNKNOWN && !split.unknown.contains(&number) {
                split.unknown.push(number);
            }
            continue;
        };
        let field = &message.fields[index];
        let values = &mut split.values[index];

        if field.repeated
            && wire_type == WireType::LengthDelimited
            && is_packable(field.kind)
        {
            let mut packed = length_delimited(field, &mut rest)?;
            while !packed.is_empty() {
                values.push(number_value(
                    field,
                    native_wire_type(field.kind),
                    &mut packed,
                )?);
            }
            continue;
        }
        let value = value(field, wire_type, &mut rest)?;
        if matches!(value, Value::String(Cow::Owned(_))) {
            split.not_utf8.push(index);
        }
        if field.repeated {
            values.push(value);
        } else {
            values.set(value);
        }
    }
    Ok(split)
}

fn value<'a>(
    field: &Field,
    wire_type: WireType,
    rest: &mut &'a [u8],
) -> Result<Value<'a>, String> {
    if wire_type != native_wire_type(field.kind) {
        return Err(malformed(field, "has the wire type of another type"));
    }
    if wire_type != WireType::LengthDelimited {
        return number_value(field, wire_type, rest);
    }
    let bytes = length_delimited(field, rest)?;
    match field.kind {
        Kind::String => Ok(Value::String(match str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => String::from_utf8_lossy(bytes),
        })),
        Kind::Bytes => Ok(Value::Bytes(bytes)),
        _ => Ok(Value::Message(bytes.into())),
    }
}

fn number_value(
    field: &Field,
    wire_type: WireType,
    rest: &mut &[u8],
) -> Result<Value<'static>, String> {
    let ends_early = || malformed(field, "ends early");
    match wire_type {
        WireType::ThirtyTwoBit => {
            let bits = rest.try_get_u32_le().map_err(|_| ends_early())?;
            Ok(match field.kind {
                Kind::Float => Value::Float(f32::from_bits(bits)),
                Kind::Sfixed32 => Value::Signed(bits.cast_signed().into()),
                _ => Value::Unsigned(bits.into()),
            })
        }
        WireType::SixtyFourBit => {
            let bits = rest.try_get_u64_le().map_err(|_| ends_early())?;
            Ok(match field.kind {
                Kind::Double => Value::Double(f64::from_bits(bits)),
                Kind::Sfixed64 => Value::Signed(bits.cast_signed()),
                _ => Value::Unsigned(bits),
            })
        }
        _ => decode_varint(rest)
            .map(|varint| varint_value(field.kind, varint))
            .map_err(|_| ends_early()),
    }
}

/// Interprets a varint. The upper half of a 32-bit type is dropped, as protobuf
/// requires.
fn varint_value(kind: Kind, varint: u64) -> Value<'static> {
    #[expect(clippy::cast_possible_truncation, reason = "protobuf drops the upper half")]
    let low = varint as u32;
    match kind {
        Kind::Bool => Value::Bool(varint != 0),
        Kind::Int32 => Value::Signed(low.cast_signed().into()),
        Kind::Sint32 => Value::Signed(zigzag(low.into())),
        Kind::Int64 => Value::Signed(varint.cast_signed()),
        Kind::Sint64 => Value::Signed(zigzag(varint)),
        Kind::Uint32 => Value::Unsigned(low.into()),
        _ => Value::Unsigned(varint),
    }
}

fn zigzag(varint: u64) -> i64 {
    (varint >> 1).cast_signed() ^ -(varint & 1).cast_signed()
}

fn length_delimited<'a>(field: &Field, rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let ends_early = || malformed(field, "ends early");
    let length = decode_varint(rest).map_err(|_| ends_early())?;
    let length = usize::try_from(length).map_err(|_| ends_early())?;
    rest.split_off(..length).ok_or_else(ends_early)
}

fn native_wire_type(kind: Kind) -> WireType {
    match kind {
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::ThirtyTwoBit,
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::SixtyFourBit,
        kind if is_packable(kind) => WireType::Varint,
        _ => WireType::LengthDelimited,
    }
}

fn is_packable(kind: Kind) -> bool {
    kind.is_scalar() && !matches!(kind, Kind::String | Kind::Bytes)
}

fn malformed(field: &Field, problem: &str) -> String {
    format!("field {} {problem}", field.name)
}
