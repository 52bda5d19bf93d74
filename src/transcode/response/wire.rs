//! Writes the protobuf wire format.
//!
//! The length of a part is known only at its end. One byte is reserved for the length of
//! most parts, two for those that are likely to need them; another length moves the part.

use crate::transcode::output::Output;

/// Maximum nesting of messages, the outermost not counted, that prost and most
/// other readers of protobuf accept.
pub(super) const MAX_LEVEL: usize = 100;

/// The wire types of <https://protobuf.dev/programming-guides/encoding/>.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
pub(super) const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// Maximum tag in one byte.
const MAX_SHORT_KEY: u32 = 0x7f;

/// Maximum length in one byte, and in two.
const MAX_SHORT: usize = 0x7f;
const MAX_MIDDLE: usize = 0x3fff;

/// Maximum bytes of a number.
const MAX_VARINT: usize = 10;

/// The bit of a byte of a number that more bytes follow.
const MORE: u8 = 0x80;

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
pub(super) fn tag(out: &mut Output, number: u32, wire_type: u32) {
    let key = number << 3 | wire_type;
    let [first, ..] = key.to_le_bytes();
    if key <= MAX_SHORT_KEY {
        out.push(first);
    } else {
        varint(out, key.into());
    }
}

/// Writes a scalar with its tag.
#[inline]
pub(super) fn tagged(out: &mut Output, number: u32, scalar: Scalar) {
    tag(out, number, scalar.wire_type());
    untagged(out, scalar);
}

/// Writes a scalar without its tag, as in a packed list.
#[inline]
pub(super) fn untagged(out: &mut Output, scalar: Scalar) {
    match scalar {
        Scalar::Varint(value) => varint(out, value),
        Scalar::Fixed32(value) => out.extend(value.to_le_bytes()),
        Scalar::Fixed64(value) => out.extend(value.to_le_bytes()),
    }
}

#[inline(never)]
fn varint(out: &mut Output, mut value: u64) {
    let mut bytes = [0; MAX_VARINT];
    let mut count = 0;
    while value > MAX_SHORT as u64 && count < MAX_VARINT - 1 {
        bytes[count] = value.to_le_bytes()[0] | MORE;
        value >>= 7;
        count += 1;
    }
    bytes[count] = value.to_le_bytes()[0];
    out.extend_from_block(bytes, count + 1);
}

/// A part that is preceded by its length, for which there are `N` bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<const N: usize> {
    start: usize,
}

/// Begins a part that is likely short.
#[inline]
pub(super) fn begin(out: &mut Output, number: u32) -> Part<1> {
    Part::begin(out, number)
}

impl<const N: usize> Part<N> {
    /// Begins a part whose length is likely of `N` bytes.
    #[inline]
    pub(super) fn begin(out: &mut Output, number: u32) -> Self {
        let key = number << 3 | DELIMITED;
        if key <= MAX_SHORT_KEY {
            let [first, ..] = key.to_le_bytes();
            out.extend_from_block([first, 0, 0, 0], 1 + N);
        } else {
            varint(out, key.into());
            out.extend([0; N]);
        }
        Self { start: out.len() }
    }

    /// Reports whether nothing of the part has been written.
    #[inline]
    pub(super) fn is_empty(self, out: &Output) -> bool {
        out.len() == self.start
    }

    /// Ends the part: writes its length.
    #[inline]
    pub(super) fn end(self, out: &mut Output) {
        let Self { start } = self;
        let length = out.len() - start;
        match N {
            1 if length <= MAX_SHORT => out.replace(start - 1, [low(length)]),
            2 if MAX_SHORT < length && length <= MAX_MIDDLE => {
                out.replace(start - 2, [low(length) | MORE, low(length >> 7)]);
            }
            _ => self.end_moved(out, length),
        }
    }

    /// Ends a part whose length takes more or fewer bytes. Rare, so not inlined.
    #[inline(never)]
    fn end_moved(self, out: &mut Output, mut length: usize) {
        let mut at = self.start - N;
        let bytes = (length.max(1).ilog2() / 7 + 1) as usize;
        out.shift(self.start, at + bytes);
        while length > MAX_SHORT {
            out.replace(at, [low(length) | MORE]);
            length >>= 7;
            at += 1;
        }
        out.replace(at, [low(length)]);
    }
}

/// Returns the lowest seven bits.
#[inline]
fn low(length: usize) -> u8 {
    length.to_le_bytes()[0] & 0x7f
}
