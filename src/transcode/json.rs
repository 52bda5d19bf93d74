//! A JSON reader that returns one token at a time.
//!
//! The reader builds no values and copies only strings, to the end of a
//! buffer. It exists because it is faster than the libraries:
//! `docs/decisions/0002-which-json-reader.md` has the figures.

mod number;
mod string;

pub(super) use self::number::Number;
use super::output::Output;

/// Maximum nesting of a skipped value. Skipping is recursive, and 100 levels fit
/// into any stack.
const MAX_SKIPPED: usize = 100;

/// A position in JSON text (RFC 8259).
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// UTF-8, so that a string copied from between two quotes is UTF-8 too.
    text: &'a [u8],
    at: usize,
}

/// The problem with the text, and its byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (byte {byte})")]
pub(super) struct Error {
    problem: Problem,
    byte: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the JSON ends early")]
    EndsEarly,
    #[error("the JSON is not UTF-8")]
    NotUtf8,
    #[error("the JSON has more text after its end")]
    Trailing,
    #[error("the JSON is malformed: expected a key in quotes")]
    Key,
    #[error("the JSON is malformed: expected a colon after a key")]
    Colon,
    #[error("the JSON is malformed: expected a comma or the end of the object or list")]
    Comma,
    #[error("the JSON is malformed: expected a value")]
    Value,
    #[error("the JSON is malformed: not a number")]
    Number,
    #[error("the JSON is malformed: a control character in a string")]
    Control,
    #[error("the JSON is malformed: an unknown escape in a string")]
    Escape,
    #[error("the JSON is malformed: half of a surrogate pair in a string")]
    Surrogate,
    #[error("the JSON is nested deeper than {MAX_SKIPPED} objects and lists")]
    Depth,
}

impl Error {
    /// Returns the error that a text ends early, after this many bytes.
    pub(super) fn ends_early(byte: usize) -> Self {
        Self { problem: Problem::EndsEarly, byte }
    }

    /// Returns the error that this byte is not part of UTF-8.
    pub(super) fn not_utf8(byte: usize) -> Self {
        Self { problem: Problem::NotUtf8, byte }
    }

    /// Reports whether more text might be without this error.
    pub(super) fn is_early_end(self) -> bool {
        self.problem == Problem::EndsEarly
    }

    /// Returns the same error of a text that begins after this many bytes of another.
    pub(super) fn after(self, bytes: usize) -> Self {
        Self { byte: self.byte + bytes, ..self }
    }
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of a text, which is UTF-8: all of it, or the first bytes
    /// of such a text.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Reports whether all of the text has been consumed.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Reports whether the last byte of the text has been consumed, and is a digit.
    pub(super) fn ends_in_a_digit(&self) -> bool {
        self.is_at_end() && self.text.last().is_some_and(u8::is_ascii_digit)
    }

    /// Returns to a byte that has been consumed before.
    pub(super) fn return_to(&mut self, position: usize) {
        self.at = position;
    }

    /// Returns how many bytes have been consumed.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Returns the first byte of the next token without consuming it. At the end of the
    /// text it is 0, which begins no token.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        match self.text.get(self.at) {
            Some(&byte) if byte > b' ' => byte,
            _ => self.peek_behind_space(),
        }
    }

    /// As [`peek`](Self::peek). Compact JSON has no white space, so not inlined.
    #[inline(never)]
    fn peek_behind_space(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or_default()
    }

    /// Consumes these bytes if they are next. Reports whether they were.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        if next {
            self.at += bytes.len();
        }
        next
    }

    /// Consumes the opening byte of an object or a list, and the closing byte if
    /// there is no member. Reports whether there is one.
    #[inline]
    pub(super) fn open(&mut self, close: u8) -> Result<bool, Error> {
        self.at += 1;
        let empty = self.peek() == close;
        if self.is_at_end() {
            return Err(self.error(Problem::EndsEarly));
        }
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Consumes the comma or the closing byte after a member. Reports whether there
    /// is another member.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Error> {
        let byte = self.peek();
        if byte != b',' && byte != close {
            return Err(self.error(Problem::Comma));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Appends a key to a buffer, and consumes its colon.
    #[inline(never)]
    pub(super) fn key(&mut self, out: &mut Output) -> Result<(), Error> {
        if self.peek() != b'"' {
            return Err(self.error(Problem::Key));
        }
        self.text(out)?;
        if self.peek() != b':' {
            return Err(self.error(Problem::Colon));
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes a value of any type. The content of the buffer stays the same.
    pub(super) fn skip(&mut self, scratch: &mut Output) -> Result<(), Error> {
        self.skip_nested(scratch, MAX_SKIPPED)
    }

    fn skip_nested(&mut self, scratch: &mut Output, depth: usize) -> Result<(), Error> {
        let mark = scratch.len();
        match self.peek() {
            byte @ (b'{' | b'[') => {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(self.error(Problem::Depth));
                };
                let close = if byte == b'{' { b'}' } else { b']' };
                let mut more = self.open(close)?;
                while more {
                    if byte == b'{' {
                        self.key(scratch)?;
                        scratch.truncate(mark);
                    }
                    self.skip_nested(scratch, depth)?;
                    more = self.more(close)?;
                }
            }
            b'"' => {
                self.text(scratch)?;
                scratch.truncate(mark);
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
            }
            _ if self.take(b"null") || self.take(b"true") || self.take(b"false") => {}
            _ => return Err(self.no_value()),
        }
        Ok(())
    }

    /// Consumes white space, and checks that nothing else is left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.peek();
        if self.is_at_end() { Ok(()) } else { Err(self.error(Problem::Trailing)) }
    }

    /// Returns the error that the next token is not a value.
    #[cold]
    pub(super) fn no_value(&self) -> Error {
        let rest = self.rest();
        if [b"null".as_slice(), b"true", b"false"]
            .iter()
            .any(|word| word.starts_with(rest))
        {
            return Error { problem: Problem::EndsEarly, byte: self.text.len() };
        }
        self.error(Problem::Value)
    }

    /// Returns an error at the current byte, or about the early end.
    #[cold]
    fn error(&self, problem: Problem) -> Error {
        let ended = self.at >= self.text.len();
        Error { problem: if ended { Problem::EndsEarly } else { problem }, byte: self.at }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}
