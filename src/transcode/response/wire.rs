//! Writes the protobuf wire format.
//!
//! The length of a part is known only at its end. One byte is reserved for the
//! length, which is enough for most parts; a longer length moves the part.

/// Maximum nesting of messages, the outermost not counted, that prost and most
/// other readers of protobuf accept.
pub(super) const MAX_LEVEL: usize = 100;

/// The wire types of <https://protobuf.dev/programming-guides/encoding/>.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
pub(super) const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// Maximum length in one byte.
const MAX_SHORT: u8 = 0x7f;

/// A scalar other than a string, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
}

impl Scalar {
    /// Reports whether this is the default value: positive zero or false.
    pub(super) fn is_zero(self) -> bool {
        matches!(self, Self::Varint(0) | Self::Fixed32(0) | Self::Fixed64(0))
    }

    fn wire_type(self) -> u32 {
        match self {
            Self::Varint(_) => VARINT,
            Self::Fixed32(_) => FIXED32,
            Self::Fixed64(_) => FIXED64,
        }
    }
}

/// Writes the tag of a field: its number and its wire type.
#[inline]
pub(super) fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

/// Writes a scalar with its tag.
#[inline]
pub(super) fn tagged(out: &mut Vec<u8>, number: u32, scalar: Scalar) {
    tag(out, number, scalar.wire_type());
    untagged(out, scalar);
}

/// Writes a scalar without its tag, as in a packed list.
#[inline]
pub(super) fn untagged(out: &mut Vec<u8>, scalar: Scalar) {
    match scalar {
        Scalar::Varint(value) => varint(out, value),
        Scalar::Fixed32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Scalar::Fixed64(value) => out.extend_from_slice(&value.to_le_bytes()),
    }
}

#[inline]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Begins a part that is preceded by its length. Returns the start of the part.
#[inline]
pub(super) fn begin(out: &mut Vec<u8>, number: u32) -> usize {
    tag(out, number, DELIMITED);
    out.push(0);
    out.len()
}

/// Ends the part with this start: writes its length.
#[inline]
pub(super) fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    match u8::try_from(length) {
        Ok(length @ ..=MAX_SHORT) => out[start - 1] = length,
        _ => end_long(out, start, length),
    }
}

/// Ends a part whose length takes more than one byte. Rare, so not inlined.
#[inline(never)]
fn end_long(out: &mut Vec<u8>, start: usize, length: usize) {
    // The other bytes of the length go behind the part, then before it.
    out[start - 1] = length.to_le_bytes()[0] | 0x80;
    varint(out, length as u64 >> 7);
    let rest = out.len() - start - length;
    out[start..].rotate_right(rest);
}
