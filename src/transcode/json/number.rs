//! Numbers: JSON has one kind of them and does not say how they are to be kept.

use std::str;

use super::{Error, Problem, Reader};

/// The most digits that are certain to fit in an `i64`.
const MAX_DIGITS: usize = 18;

/// A number, read as far as that is possible without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number<'a> {
    /// An integer of at most 18 digits, and not `-0`.
    Integer(i64),
    /// Any other number, as it is written.
    Text(&'a str),
}

impl<'a> Reader<'a> {
    /// Reads a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Error> {
        let rest = self.rest();
        let start = self.at;
        let negative = self.take(b"-");
        let zero = self.rest().starts_with(b"0");
        let (digits, value) = self.digits()?;
        if zero && digits > 1 {
            return Err(self.error(Problem::Number));
        }
        let mut is_integer = digits <= MAX_DIGITS && !(negative && zero);
        if self.take(b".") {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b"e") || self.take(b"E") {
            is_integer = false;
            let _sign = self.take(b"+") || self.take(b"-");
            self.digits()?;
        }
        if is_integer {
            return Ok(Number::Integer(if negative { -value } else { value }));
        }
        let text = str::from_utf8(&rest[..self.at - start]);
        text.map(Number::Text).map_err(|_| self.error(Problem::Number))
    }

    /// Steps over digits. Returns how many there are and, if they fit, the
    /// number that they form.
    #[inline]
    fn digits(&mut self) -> Result<(usize, i64), Error> {
        let start = self.at;
        let mut value = 0i64;
        while let Some(digit @ b'0'..=b'9') = self.text.get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error(Problem::Number));
        }
        Ok((self.at - start, value))
    }
}

impl<'a> Number<'a> {
    /// Parses a text that is a number and nothing else.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let number = reader.number().ok()?;
        (reader.at == text.len()).then_some(number)
    }

    /// Returns the integer that this is, however it is written: `1000`, `1e3`
    /// and `1000.0` are one and the same. Nothing for a fraction, and nothing for
    /// what is out of the range of every 64-bit integer.
    pub(crate) fn to_integer(self) -> Option<i128> {
        const MAX_DIGITS: usize = 20;

        let text = match self {
            Self::Integer(value) => return Some(value.into()),
            Self::Text(text) => text,
        };
        let positive = text.trim_start_matches('-');
        let (mantissa, exponent) =
            positive.split_once(['e', 'E']).unwrap_or((positive, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(0);
        }

        // The point stands after so many of the digits, or so many zeros later.
        let whole = i64::try_from(whole.len()).ok()?;
        let point =
            usize::try_from(exponent.parse::<i64>().ok()?.checked_add(whole)?).ok()?;
        let zeros = point.checked_sub(digits.len())?;
        let digits = digits.trim_start_matches('0');
        if digits.len().checked_add(zeros)? > MAX_DIGITS {
            return None;
        }
        let value = digits.parse::<i128>().ok()? * 10i128.pow(u32::try_from(zeros).ok()?);
        Some(if text.len() == positive.len() { value } else { -value })
    }

    /// Returns the nearest double, if the number is in its range.
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is asked for")]
    pub(crate) fn to_double(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }

    /// Returns the nearest float, if the number is in its range.
    #[expect(clippy::cast_precision_loss, reason = "the nearest float is asked for")]
    pub(crate) fn to_float(self) -> Option<f32> {
        match self {
            Self::Integer(value) => Some(value as f32),
            Self::Text(text) => text.parse().ok().filter(|value: &f32| value.is_finite()),
        }
    }
}
