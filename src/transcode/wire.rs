//! The protobuf wire format, read as far as a request needs it.
//!
//! A message is split into the values of its fields, which still point into
//! the request. Messages within it stay bytes until they are written out.

use std::borrow::Cow;

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::contract::{Field, Kind, Message};

/// How many unknown fields are told of a message. A request can hold thousands.
const MOST_UNKNOWN: usize = 16;

/// The values of one field, in the order of the wire.
pub(super) type Values<'a> = Vec<Value<'a>>;

/// A value as it stands on the wire.
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

/// A message, split.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// The values of each field, in the order of the message type. A field that
    /// is no list has one value at most: the last one on the wire, or all of
    /// them merged if it is a message, as protobuf has it.
    pub(super) values: Vec<Values<'a>>,
    /// The numbers of the fields that the message type does not have.
    pub(super) unknown: Vec<u32>,
    /// The places of the string fields with a value that is not UTF-8.
    pub(super) not_utf8: Vec<usize>,
}

/// Splits a message. An error says why the bytes are not one of the type.
pub(super) fn decode<'a>(
    message: &Message,
    bytes: &'a [u8],
) -> Result<Fields<'a>, String> {
    let mut fields =
        Fields { values: vec![Values::new(); message.fields.len()], ..Fields::default() };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire_type) =
            decode_key(&mut rest).map_err(|error| error.to_string())?;
        let Some(place) = message.fields.iter().position(|field| field.number == number)
        else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())
                .map_err(|error| error.to_string())?;
            if fields.unknown.len() < MOST_UNKNOWN && !fields.unknown.contains(&number) {
                fields.unknown.push(number);
            }
            continue;
        };
        let field = &message.fields[place];
        let values = &mut fields.values[place];

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
            fields.not_utf8.push(place);
        }
        if !field.repeated
            && let Some(earlier) = values.pop()
        {
            values.push(merge(earlier, value));
        } else {
            values.push(value);
        }
    }
    Ok(fields)
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
        Kind::String => Ok(Value::String(String::from_utf8_lossy(bytes))),
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

/// Gives a varint its meaning. The upper half of one for a 32-bit type is
/// dropped, as protobuf has it.
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

/// Joins two values of a field that is no list. Messages that are written one
/// behind the other merge.
fn merge<'a>(earlier: Value<'a>, later: Value<'a>) -> Value<'a> {
    match (earlier, later) {
        (Value::Message(earlier), Value::Message(later)) => {
            let mut both = earlier.into_owned();
            both.extend_from_slice(&later);
            Value::Message(both.into())
        }
        (_, later) => later,
    }
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
