//! Values of any shape: `google.protobuf.Struct`, `Value` and `ListValue`.
//!
//! An error within such a value has the path of the field and no keys of the value:
//! the keys are the customer's data.
//!
//! A number is a double there. One that would become another integer or infinite is a
//! string instead: `docs/decisions/0010-which-numbers-of-a-configuration-are-strings.md`.

use super::{ResponseError, Transcoder, wire};

/// Maximum nesting of objects and lists in a field of any shape, the outermost
/// included: 32 objects are `{"a":{"a": … {} … }}` with 32 opening braces.
///
/// An object takes three levels of messages on the wire (the `Struct`, the entry,
/// the `Value`), and readers of protobuf reject more than 100.
pub const MAX_DEPTH: usize = 32;

/// The numbers of the fields in `google/protobuf/struct.proto`.
mod number {
    pub(super) const STRUCT_ENTRY: u32 = 1;
    pub(super) const ENTRY_KEY: u32 = 1;
    pub(super) const ENTRY_VALUE: u32 = 2;
    pub(super) const LIST_VALUE: u32 = 1;
    pub(super) const NULL: u32 = 1;
    pub(super) const DOUBLE: u32 = 2;
    pub(super) const STRING: u32 = 3;
    pub(super) const BOOL: u32 = 4;
    pub(super) const STRUCT: u32 = 5;
    pub(super) const LIST: u32 = 6;
}

impl Transcoder<'_> {
    /// Reads an object into the entries of a `Struct`.
    pub(super) fn entries(&mut self, depth: usize) -> Result<(), ResponseError> {
        if self.json.peek() != b'{' {
            return Err(self.expected("an object"));
        }
        let depth = deeper(depth)?;
        let mut more = self.json.open(b'}')?;
        while more {
            self.nested::<1>(number::STRUCT_ENTRY, |this| {
                let key = wire::begin(&mut this.out, number::ENTRY_KEY);
                this.json.key(&mut this.out)?;
                key.end(&mut this.out);
                this.nested::<1>(number::ENTRY_VALUE, |this| this.any(depth))
            })?;
            more = self.json.more(b'}')?;
        }
        Ok(())
    }

    /// Reads a list into the elements of a `ListValue`.
    pub(super) fn values(&mut self, depth: usize) -> Result<(), ResponseError> {
        if self.json.peek() != b'[' {
            return Err(self.expected("a list"));
        }
        let depth = deeper(depth)?;
        let mut more = self.json.open(b']')?;
        while more {
            self.nested::<1>(number::LIST_VALUE, |this| this.any(depth))?;
            more = self.json.more(b']')?;
        }
        Ok(())
    }

    /// Reads any value into the one field of a `Value`.
    pub(super) fn any(&mut self, depth: usize) -> Result<(), ResponseError> {
        self.check_room()?;
        let (number, scalar) = match self.json.peek() {
            b'"' => {
                let part = wire::begin(&mut self.out, number::STRING);
                self.json.string(&mut self.out)?;
                part.end(&mut self.out);
                return Ok(());
            }
            b'{' => return self.nested::<1>(number::STRUCT, |this| this.entries(depth)),
            b'[' => return self.nested::<1>(number::LIST, |this| this.values(depth)),
            b'-' | b'0'..=b'9' => {
                let value = self.json.number()?;
                let Some(double) = value.to_same_double() else {
                    let part = wire::begin(&mut self.out, number::STRING);
                    self.out.extend_from_slice(value.text().as_bytes());
                    part.end(&mut self.out);
                    return Ok(());
                };
                (number::DOUBLE, wire::Scalar::Fixed64(double.to_bits()))
            }
            _ if self.json.take(b"null") => (number::NULL, wire::Scalar::Varint(0)),
            _ if self.json.take(b"false") => (number::BOOL, wire::Scalar::Varint(0)),
            _ if self.json.take(b"true") => (number::BOOL, wire::Scalar::Varint(1)),
            _ => return Err(self.json.no_value().into()),
        };
        wire::tagged(&mut self.out, number, scalar);
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize, ResponseError> {
    depth
        .checked_sub(1)
        .ok_or_else(|| ResponseError::too_deep(MAX_DEPTH, "objects and lists"))
}
