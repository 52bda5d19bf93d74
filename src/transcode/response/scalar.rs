//! Strings, bytes, times, numbers and bools, each of which JSON can write in more
//! than one form.

use std::ops::RangeInclusive;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    ResponseError, Transcoder, timestamp,
    wire::{self, Scalar},
};
use crate::{contract::Kind, transcode::json::Number};

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, BASE64);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BASE64);

/// The numbers of the fields in `google/protobuf/timestamp.proto`.
const SECONDS: u32 = 1;
const NANOS: u32 = 2;

impl Transcoder<'_> {
    /// Reads a string, whose opening quote is next, into a field. Reports whether the string
    /// is not empty.
    #[inline]
    pub(super) fn string(
        &mut self,
        number: u32,
        keep: bool,
    ) -> Result<bool, ResponseError> {
        let mark = self.out.len();
        let part = wire::begin(&mut self.out, number);
        self.json.string(&mut self.out)?;
        let is_set = !part.is_empty(&self.out);
        if is_set || keep {
            part.end(&mut self.out);
        } else {
            self.out.truncate(mark);
        }
        Ok(is_set)
    }

    /// Reads base64, in either alphabet, padded or not, into a field. Reports
    /// whether the bytes are not empty.
    pub(super) fn bytes(
        &mut self,
        number: u32,
        keep: bool,
    ) -> Result<bool, ResponseError> {
        const WHAT: &str = "bytes in base64";

        let bytes = self.text(WHAT, |text| {
            STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
        })?;
        if keep || !bytes.is_empty() {
            let part = wire::begin(&mut self.out, number);
            self.out.extend_from_slice(&bytes);
            part.end(&mut self.out);
        }
        Ok(!bytes.is_empty())
    }

    /// Reads a time into a `google.protobuf.Timestamp`.
    pub(super) fn timestamp(&mut self, number: u32) -> Result<(), ResponseError> {
        let (seconds, nanos) = self.text("an RFC 3339 time", timestamp::parse)?;
        self.nested::<1>(number, |this| {
            for (number, part) in [(SECONDS, seconds), (NANOS, nanos.into())] {
                if part != 0 {
                    wire::tagged(
                        &mut this.out,
                        number,
                        Scalar::Varint(part.cast_unsigned()),
                    );
                }
            }
            Ok(())
        })
    }

    /// Reads a bool or a number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is in the range of its type, and the wire carries its bits"
    )]
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method has one lifetime, a closure any"
    )]
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<Scalar, ResponseError> {
        let value = match kind {
            Kind::Bool => return self.bool(),
            Kind::Float => {
                let special = |word: &[u8]| Some(special(word)? as f32);
                let value =
                    self.number("a float", |number| number.to_float(), special)?;
                return Ok(Scalar::Fixed32(value.to_bits()));
            }
            Kind::Double => {
                let value =
                    self.number("a double", |number| number.to_double(), special)?;
                return Ok(Scalar::Fixed64(value.to_bits()));
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                self.integer(i32::MIN..=i32::MAX, "a 32-bit integer")?
            }
            Kind::Uint32 | Kind::Fixed32 => {
                self.integer(u32::MIN..=u32::MAX, "an unsigned 32-bit integer")?
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                self.integer(i64::MIN..=i64::MAX, "a 64-bit integer")?
            }
            _ => self.integer(u64::MIN..=u64::MAX, "an unsigned 64-bit integer")?,
        };
        Ok(match kind {
            Kind::Sint32 | Kind::Sint64 => {
                // Zigzag: the sign moves to the lowest bit.
                Scalar::Varint((value << 1 ^ value >> 127) as u64)
            }
            Kind::Fixed32 | Kind::Sfixed32 => Scalar::Fixed32(value as u32),
            Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64(value as u64),
            _ => Scalar::Varint(value as u64),
        })
    }

    fn bool(&mut self) -> Result<Scalar, ResponseError> {
        self.json.peek();
        if self.json.take(b"true") {
            Ok(Scalar::Varint(1))
        } else if self.json.take(b"false") {
            Ok(Scalar::Varint(0))
        } else {
            Err(self.expected("a bool"))
        }
    }

    fn integer<T: Into<i128>>(
        &mut self,
        range: RangeInclusive<T>,
        what: &str,
    ) -> Result<i128, ResponseError> {
        let (min, max) = range.into_inner();
        let range = min.into()..=max.into();
        let convert = |number: Number<'_>| {
            number.to_integer().filter(|value| range.contains(value))
        };
        self.number(what, convert, |_| None)
    }

    /// Reads a number, or a string that holds a number or one of the special words.
    fn number<T>(
        &mut self,
        what: &str,
        convert: impl FnOnce(Number<'_>) -> Option<T>,
        special: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ResponseError> {
        match self.json.peek() {
            b'-' | b'0'..=b'9' => {
                let value = convert(self.json.number()?);
                value.ok_or_else(|| ResponseError::new(format!("expected {what}")))
            }
            _ => self.text(what, |text| {
                special(text).or_else(|| convert(Number::parse(text)?))
            }),
        }
    }

    /// Reads a string and parses it.
    fn text<T>(
        &mut self,
        what: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ResponseError> {
        if self.json.peek() != b'"' {
            return Err(self.expected(what));
        }
        let mark = self.out.len();
        self.json.text(&mut self.out)?;
        let value = parse(self.out.since(mark));
        self.out.truncate(mark);
        value.ok_or_else(|| ResponseError::new(format!("expected {what}")))
    }
}

/// Returns a value that JSON cannot write as a number.
fn special(word: &[u8]) -> Option<f64> {
    match word {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}
