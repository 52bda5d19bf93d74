//! The JSON of a response → the wire bytes of its message, in one pass.
//!
//! The rules are those of proto3's JSON form, but only the keys of the schema
//! count as names: `null` is absent, unknown keys are skipped, numbers may be
//! strings. A response that is cut short or does not match the schema is an error,
//! never a message with some fields missing. So is an object that has keys, but none of
//! the schema's: an error, which with every field absent would be an empty list.

mod error;
mod free_form;
mod object;
mod scalar;
#[cfg(test)]
pub(super) mod tests;
mod timestamp;
mod wire;

use self::wire::{MAX_LEVEL, Part};
use super::{
    json::{self, Reader},
    output::Output,
};
use crate::contract::{Field, Kind, Schema};

pub(super) use self::object::{Members, check_set};
pub use self::{error::ResponseError, free_form::MAX_DEPTH};

/// Bytes that the output must have in addition to its room: the most that are written
/// between two looks at the room. They are a scalar with its tags, and four bytes of length
/// for each message that ends, of up to 100.
pub const SLACK: usize = 512;

/// Bytes for the length of a message that is likely longer than 127 bytes: an element of a
/// list, or a configuration.
const LONG: usize = 2;

/// Transcodes the JSON of a response into the wire bytes of its message, of about `room`
/// bytes at most. Allocates no more.
///
/// # Errors
///
/// If the JSON is malformed or does not match the schema. States the problem and
/// its place: the byte, or the keys and indices that lead to the value. Quotes
/// nothing from the JSON. If there is not enough room, [`ResponseError::is_too_large`].
pub fn response(
    schema: &Schema,
    json: &[u8],
    room: usize,
) -> Result<Vec<u8>, ResponseError> {
    // A string takes no more than in JSON, with its quotes. So the rest, if it is all
    // strings, needs its own length and not more.
    let Some(headroom) = room.checked_sub(json.len()) else {
        return Err(ResponseError::too_large());
    };
    let out = Vec::with_capacity(room.saturating_add(SLACK));
    let Err(error) = simdutf8::compat::from_utf8(json) else {
        return whole(schema, json, out, headroom);
    };
    // The first problem counts, as in a response that arrives in parts.
    let end = match error.error_len() {
        None => json::Error::ends_early(json.len()),
        Some(_) => json::Error::not_utf8(error.valid_up_to()),
    };
    match whole(schema, &json[..error.valid_up_to()], out, headroom) {
        Err(error) if !error.is_early_end() => Err(error),
        _ => Err(end.into()),
    }
}

fn whole(
    schema: &Schema,
    json: &[u8],
    out: Vec<u8>,
    headroom: usize,
) -> Result<Vec<u8>, ResponseError> {
    let mut transcoder = Transcoder::new(schema, json, out, headroom);
    transcoder.message(schema.root())?;
    transcoder.json.end()?;
    Ok(transcoder.out.into_bytes())
}

/// Writes fields while it reads their JSON.
pub(super) struct Transcoder<'a> {
    schema: &'a Schema,
    pub(super) json: Reader<'a>,
    pub(super) out: Output,
    /// The bytes that the output may have more than the JSON that was consumed for it.
    headroom: usize,
    /// The open messages, without the outermost one.
    level: usize,
}

impl<'a> Transcoder<'a> {
    pub(super) fn new(
        schema: &'a Schema,
        json: &'a [u8],
        out: Vec<u8>,
        headroom: usize,
    ) -> Self {
        let out = Output::new(out, json.len() + SLACK);
        let json = Reader::new(json);
        Self { schema, json, out, headroom, level: 0 }
    }

    /// Reads the value of a field. Reports whether the field is set: `null`, an
    /// empty string and an empty list do not set it.
    #[inline]
    pub(super) fn field(&mut self, field: &'a Field) -> Result<bool, ResponseError> {
        if field.kind == Kind::String && !field.repeated && self.json.peek() == b'"' {
            return self.string(field.number, field.presence);
        }
        self.other_field(field)
    }

    /// As [`field`](Self::field), of any type.
    #[inline(never)]
    fn other_field(&mut self, field: &'a Field) -> Result<bool, ResponseError> {
        // Null is one of the values of a `Value`.
        let nullable = field.repeated || field.kind != Kind::Value;
        if self.json.peek() == b'n' && nullable && self.json.take(b"null") {
            return Ok(false);
        }
        if field.repeated {
            self.list(field)
        } else {
            self.element(field, field.presence)
        }
    }

    /// Reads a list into one field per element, or into one packed field.
    fn list(&mut self, field: &'a Field) -> Result<bool, ResponseError> {
        if self.json.peek() != b'[' {
            return Err(self.expected("a list"));
        }
        let mut more = self.json.open(b']')?;
        if !more {
            return Ok(false);
        }
        let packed = field.packed.then(|| wire::begin(&mut self.out, field.number));
        let mut index = 0;
        while more {
            self.check_room()?;
            let element = if packed.is_some() {
                self.scalar(field.kind)
                    .map(|scalar| wire::untagged(&mut self.out, scalar))
            } else {
                self.element(field, true).map(drop)
            };
            element.map_err(|error| error.at(index))?;
            index += 1;
            more = self.json.more(b']')?;
        }
        if let Some(part) = packed {
            part.end(&mut self.out);
        }
        Ok(true)
    }

    /// Reads a value that is not a list in the schema. Omits a default value unless
    /// `keep` is set. Reports whether the value is other than an empty string.
    #[inline]
    pub(super) fn element(
        &mut self,
        field: &'a Field,
        keep: bool,
    ) -> Result<bool, ResponseError> {
        self.check_room()?;
        let number = field.number;
        match field.kind {
            Kind::String => {
                if self.json.peek() != b'"' {
                    return Err(self.expected("a string"));
                }
                return self.string(number, keep);
            }
            Kind::Bytes => return self.bytes(number, keep),
            Kind::Message(index) => {
                let message = self.schema.message(index);
                if field.repeated {
                    self.nested::<LONG>(number, |this| this.message(message))?;
                } else {
                    self.nested::<1>(number, |this| this.message(message))?;
                }
            }
            Kind::Timestamp => self.timestamp(number)?,
            Kind::Struct => {
                self.nested::<LONG>(number, |this| this.entries(MAX_DEPTH))?;
            }
            Kind::ListValue => self.nested::<1>(number, |this| this.values(MAX_DEPTH))?,
            Kind::Value => self.nested::<1>(number, |this| this.any(MAX_DEPTH))?,
            kind => {
                let scalar = self.scalar(kind)?;
                if keep || !scalar.is_zero() {
                    wire::tagged(&mut self.out, number, scalar);
                }
            }
        }
        Ok(true)
    }

    /// Abandons a value that is not whole: returns to what had been consumed and written
    /// before it.
    pub(super) fn roll_back(&mut self, consumed: usize, written: usize) {
        self.json.return_to(consumed);
        self.out.truncate(written);
        self.level = 0;
    }

    /// Checks that there is room for the rest, before a value is written.
    #[inline]
    pub(super) fn check_room(&self) -> Result<(), ResponseError> {
        if self.out.len() > self.json.position() + self.headroom {
            return Err(ResponseError::too_large());
        }
        Ok(())
    }

    /// Writes a message within the one that is open. Its length is likely of `N` bytes.
    #[inline]
    fn nested<const N: usize>(
        &mut self,
        number: u32,
        fields: impl FnOnce(&mut Self) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        if self.level == MAX_LEVEL {
            return Err(ResponseError::too_deep(MAX_LEVEL, "messages"));
        }
        self.level += 1;
        let part = Part::<N>::begin(&mut self.out, number);
        fields(self)?;
        part.end(&mut self.out);
        self.level -= 1;
        Ok(())
    }

    /// Returns the error that the next value has another type.
    #[cold]
    fn expected(&mut self, what: &str) -> ResponseError {
        let byte = self.json.peek();
        let found = match byte {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b'-' | b'0'..=b'9' => "a number",
            _ if self.json.take(b"null") => "null",
            _ if self.json.take(b"true") || self.json.take(b"false") => "a bool",
            _ => return self.json.no_value().into(),
        };
        ResponseError::new(format!("expected {what}, found {found}"))
    }
}
