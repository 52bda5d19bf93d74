//! Strings, bytes, times, numbers and bools: JSON is generous in how it writes
//! them, the wire is not.

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
    /// Reads a string to a field. Tells whether it is not empty.
    #[inline]
    pub(super) fn string(
        &mut self,
        number: u32,
        keep: bool,
    ) -> Result<bool, ResponseError> {
        if self.json.peek()? != b'"' {
            return Err(self.expected("a string"));
        }
        let mark = self.out.len();
        let start = wire::begin(&mut self.out, number);
        self.json.string(&mut self.out)?;
        let some = self.out.len() > start;
        if some || keep {
            wire::end(&mut self.out, start);
        } else {
            self.out.truncate(mark);
        }
        Ok(some)
    }

    /// Reads base64, in either alphabet, padded or not, to a field. Tells
    /// whether it is not empty.
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
            let start = wire::begin(&mut self.out, number);
            self.out.extend_from_slice(&bytes);
            wire::end(&mut self.out, start);
        }
        Ok(!bytes.is_empty())
    }

    /// Reads a time to a `google.protobuf.Timestamp`.
    pub(super) fn timestamp(&mut self, number: u32) -> Result<(), ResponseError> {
        let (seconds, nanos) = self.text("an RFC 3339 time", timestamp::parse)?;
        self.nested(number, |this| {
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
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<Scalar, ResponseError> {
        let value = match kind {
            Kind::Bool => return self.bool(),
            Kind::Float => {
                let value =
                    self.number("a float", float, |word| Some(special(word)? as f32))?;
                return Ok(Scalar::Fixed32(value.to_bits()));
            }
            Kind::Double => {
                let value = self.number("a double", double, special)?;
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
                Scalar::Varint((value << 1 ^ value >> 127) as u64)
            }
            Kind::Fixed32 | Kind::Sfixed32 => Scalar::Fixed32(value as u32),
            Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64(value as u64),
            _ => Scalar::Varint(value as u64),
        })
    }

    fn bool(&mut self) -> Result<Scalar, ResponseError> {
        self.json.peek()?;
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
        let (least, greatest) = range.into_inner();
        let range = least.into()..=greatest.into();
        let convert =
            |number: Number<'_>| integer(number).filter(|value| range.contains(value));
        self.number(what, convert, |_| None)
    }

    /// Reads a number, or a string that holds one or a word in its place.
    fn number<T>(
        &mut self,
        what: &str,
        convert: impl FnOnce(Number<'_>) -> Option<T>,
        special: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ResponseError> {
        match self.json.peek()? {
            b'-' | b'0'..=b'9' => {
                let value = convert(self.json.number()?);
                value.ok_or_else(|| ResponseError::new(format!("expected {what}")))
            }
            _ => self.text(what, |text| {
                special(text).or_else(|| convert(Number::parse(text)?))
            }),
        }
    }

    /// Reads a string that stands for something else.
    fn text<T>(
        &mut self,
        what: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ResponseError> {
        if self.json.peek()? != b'"' {
            return Err(self.expected(what));
        }
        let mark = self.out.len();
        self.json.string(&mut self.out)?;
        let value = parse(&self.out[mark..]);
        self.out.truncate(mark);
        value.ok_or_else(|| ResponseError::new(format!("expected {what}")))
    }
}

/// Returns a number that is an integer, however it is written: `1000`, `1e3` and
/// `1000.0` are one and the same. Nothing for one out of the range of all types.
fn integer(number: Number<'_>) -> Option<i128> {
    const MAX_DIGITS: usize = 20;

    let text = match number {
        Number::Integer(value) => return Some(value.into()),
        Number::Text(text) => text,
    };
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }

    // The value is 0.significant times ten to the power of this.
    let power =
        exponent.parse::<i64>().ok()?.checked_add(i64::try_from(whole.len()).ok()?)?;
    let length =
        usize::try_from(power).ok().filter(|power| *power >= significant.len())?;
    let zeros = length - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.len() + zeros > MAX_DIGITS {
        return None;
    }
    let value =
        significant.parse::<i128>().ok()? * 10i128.pow(u32::try_from(zeros).ok()?);
    Some(if negative { -value } else { value })
}

/// Returns a number as a double, if it is in range.
pub(super) fn double(number: Number<'_>) -> Option<f64> {
    match number {
        #[expect(
            clippy::cast_precision_loss,
            reason = "doubles are what JSON's readers make"
        )]
        Number::Integer(value) => Some(value as f64),
        Number::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

fn float(number: Number<'_>) -> Option<f32> {
    match number {
        #[expect(clippy::cast_precision_loss, reason = "the schema asks for a float")]
        Number::Integer(value) => Some(value as f32),
        Number::Text(text) => text.parse().ok().filter(|value: &f32| value.is_finite()),
    }
}

/// Returns what JSON has no number for.
fn special(word: &[u8]) -> Option<f64> {
    match word {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}
