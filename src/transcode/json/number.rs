//! Numbers. JSON has one kind; fields have many, each with its range.

use std::{borrow::Cow, str};

use super::{Error, Problem, Reader};

/// Maximum digits that are certain to fit into an `i64`.
const MAX_DIGITS: usize = 18;

/// Each integer up to this one is a double; the next is not.
const MAX_DOUBLES: u64 = 1 << f64::MANTISSA_DIGITS;

/// A number, parsed if it is a short integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number<'a> {
    /// An integer of at most 18 digits, and not `-0`.
    Integer(i64),
    /// Any other number, as text.
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

    /// Consumes digits. Returns their count and their value, which is right for up
    /// to [`MAX_DIGITS`].
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
    /// Parses a text that is a number as a whole.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let number = reader.number().ok()?;
        (reader.at == text.len()).then_some(number)
    }

    /// Returns the value if it is an integer, in any form: `1000`, `1e3` and
    /// `1000.0` are equal. Returns `None` for a fraction and for a value that no
    /// 64-bit integer holds.
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

        // The position of the decimal point among the digits, or the zeros after.
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

    /// Returns the nearest double, or `None` if the number is out of its range.
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is the contract")]
    pub(crate) fn to_double(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }

    /// Returns the nearest double, unless it is another integer or infinite.
    ///
    /// An integer is a number without an exponent and without a fraction other than
    /// zeros: programs that write doubles write an exponent, and expect rounding.
    #[inline]
    pub(crate) fn to_same_double(self) -> Option<f64> {
        let is_short = |value: i64| value.unsigned_abs() <= MAX_DOUBLES;
        match self {
            Self::Integer(value) if is_short(value) => self.to_double(),
            Self::Integer(_) | Self::Text(_) => {
                self.to_double().filter(|double| self.is_unchanged_by(*double))
            }
        }
    }

    /// Reports whether the number is not an integer, or is the integer that the double
    /// is. Rare, so not inlined.
    #[inline(never)]
    fn is_unchanged_by(self, double: f64) -> bool {
        let text = self.text();
        if text.contains(['e', 'E']) {
            return true;
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let is_integer = fraction.bytes().all(|digit| digit == b'0');
        // Without decimals, a double is written with each digit that it has.
        !is_integer || format!("{double:.0}") == whole
    }

    /// Returns the number as it was written.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Integer(value) => value.to_string().into(),
            Self::Text(text) => text.into(),
        }
    }

    /// Returns the nearest float, or `None` if the number is out of its range.
    #[expect(clippy::cast_precision_loss, reason = "the nearest float is the contract")]
    pub(crate) fn to_float(self) -> Option<f32> {
        match self {
            Self::Integer(value) => Some(value as f32),
            Self::Text(text) => text.parse().ok().filter(|value: &f32| value.is_finite()),
        }
    }
}
