//! A reader of JSON text that hands out one token at a time.
//!
//! It builds nothing: strings go straight to the end of the caller's buffer, and
//! everything else stays where it is. `docs/decisions/0002-which-json-reader.md`
//! has the figures that made us write our own.

use std::str;

/// A step through JSON text (RFC 8259) that is known to be UTF-8.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// What is wrong with the text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (byte {byte})")]
pub(super) struct Error {
    problem: Problem,
    byte: usize,
}

/// What is wrong with the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
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

/// A number, read as far as it can be without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number<'a> {
    /// An integer of at most 18 digits, and not `-0`.
    Integer(i64),
    /// Any other number, as it is written.
    Text(&'a str),
}

/// The greatest nesting of a value that is skipped. Skipping is recursive, and
/// this is far from the end of any stack.
const MAX_SKIPPED: usize = 100;

/// The most digits that are certain to fit in an `i64`.
const MAX_DIGITS: usize = 18;

impl<'a> Reader<'a> {
    /// Starts at the first byte of a text.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, Error> {
        if simdutf8::basic::from_utf8(text).is_err() {
            let byte =
                str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
            return Err(Error { problem: Problem::NotUtf8, byte });
        }
        Ok(Self { text, at: 0 })
    }

    /// Returns the length of the text in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns an error at the next byte.
    #[cold]
    pub(super) fn error(&self, problem: Problem) -> Error {
        let problem =
            if self.at >= self.text.len() { Problem::EndsEarly } else { problem };
        Error { problem, byte: self.at }
    }

    /// Returns the error that there is no value next.
    #[cold]
    pub(super) fn no_value(&self) -> Error {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let cut = ["null", "true", "false"]
            .iter()
            .any(|word| word.as_bytes().starts_with(rest));
        if cut {
            return Error { problem: Problem::EndsEarly, byte: self.text.len() };
        }
        self.error(Problem::Value)
    }

    /// Returns the first byte of the next token, and stays before it.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, Error> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(self.error(Problem::EndsEarly)),
            }
        }
    }

    /// Steps over these bytes if they are next.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        if next {
            self.at += bytes.len();
        }
        next
    }

    /// Steps over the opening byte of an object or a list. Tells whether it has
    /// a member.
    #[inline]
    pub(super) fn open(&mut self, close: u8) -> Result<bool, Error> {
        self.at += 1;
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Steps over the comma or the closing byte after a member. Tells whether
    /// there is another member.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Error> {
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(self.error(Problem::Comma));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Reads a key to the end of a buffer, and steps over its colon.
    pub(super) fn key(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.peek()? != b'"' {
            return Err(self.error(Problem::Key));
        }
        self.string(out)?;
        if self.peek()? != b':' {
            return Err(self.error(Problem::Colon));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string, whose opening quote is next, to the end of a buffer.
    #[inline]
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.at += 1;
        loop {
            let block = self.block();
            let plain = plain(block);
            // A copy of known size is a few instructions; a copy of the right
            // size would be a call.
            out.extend_from_slice(&block);
            self.at += plain;
            if plain == block.len() {
                continue;
            }
            out.truncate(out.len() - (block.len() - plain));
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(out)?,
                _ => return Err(self.error(Problem::Control)),
            }
        }
    }

    /// Returns the next bytes, with zeros after the end of the text.
    #[inline]
    fn block(&self) -> [u8; BLOCK] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.first_chunk().copied().unwrap_or_else(|| {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            block
        })
    }

    #[cold]
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.text.get(self.at) else {
            return Err(self.error(Problem::EndsEarly));
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => *byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let mut units = [self.hex()?, 0];
                let pair = (0xd800..0xdc00).contains(&units[0]);
                if pair && self.take(b"\\u") {
                    units[1] = self.hex()?;
                }
                let mut characters =
                    char::decode_utf16(units[..=usize::from(pair)].iter().copied());
                let Some(Ok(character)) = characters.next() else {
                    return Err(Error { problem: Problem::Surrogate, byte: start });
                };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error(Problem::Escape)),
        };
        out.push(plain);
        self.at += 1;
        Ok(())
    }

    fn hex(&mut self) -> Result<u16, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit =
                self.text.get(self.at).and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.error(Problem::Escape));
            };
            unit = unit << 4 | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    /// Reads a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Error> {
        let start = self.at;
        let negative = self.take(b"-");
        let zero = self.text.get(self.at) == Some(&b'0');
        let (digits, value) = self.digits()?;
        if zero && digits > 1 {
            return Err(self.error(Problem::Number));
        }
        let mut plain = digits <= MAX_DIGITS && !(negative && zero);
        if self.take(b".") {
            plain = false;
            self.digits()?;
        }
        if self.take(b"e") || self.take(b"E") {
            plain = false;
            let _sign = self.take(b"+") || self.take(b"-");
            self.digits()?;
        }
        if plain {
            return Ok(Number::Integer(if negative { -value } else { value }));
        }
        let text =
            self.text.get(start..self.at).and_then(|text| str::from_utf8(text).ok());
        text.map(Number::Text).ok_or_else(|| self.error(Problem::Number))
    }

    /// Steps over digits. Returns how many there are and, if they fit, the
    /// number that they form.
    #[inline]
    fn digits(&mut self) -> Result<(usize, i64), Error> {
        let start = self.at;
        let mut value = 0i64;
        while let Some(byte @ b'0'..=b'9') = self.text.get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == start {
            Err(self.error(Problem::Number))
        } else {
            Ok((self.at - start, value))
        }
    }

    /// Steps over a value of any type. The buffer is left as it was.
    pub(super) fn skip(&mut self, scratch: &mut Vec<u8>) -> Result<(), Error> {
        self.skip_nested(scratch, MAX_SKIPPED)
    }

    fn skip_nested(&mut self, scratch: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
        let mark = scratch.len();
        match self.peek()? {
            byte @ (b'{' | b'[') => {
                // The closing bytes are two after the opening ones.
                let close = byte + 2;
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(self.error(Problem::Depth));
                };
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
                self.string(scratch)?;
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

    /// Checks that nothing but space is left.
    pub(super) fn end(mut self) -> Result<(), Error> {
        match self.peek() {
            Ok(_) => Err(self.error(Problem::Trailing)),
            Err(_) => Ok(()),
        }
    }
}

impl<'a> Number<'a> {
    /// Parses a text that is a number and nothing else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let number = reader.number().ok()?;
        (reader.at == text.len()).then_some(number)
    }
}

/// How many bytes of a string are looked at together.
const BLOCK: usize = 16;

/// Returns the number of bytes before the first that ends a string or is special
/// in it: a quote, a backslash or a control character.
#[inline]
fn plain(block: [u8; BLOCK]) -> usize {
    const ONES: u128 = u128::from_le_bytes([0x01; BLOCK]);
    const HIGH: u128 = u128::from_le_bytes([0x80; BLOCK]);

    // A byte that is less than another borrows into its own high bit. Borrows go
    // on to later bytes only, so that the first byte that is marked is right.
    let bytes = u128::from_le_bytes(block);
    let quote = bytes ^ (ONES * b'"' as u128);
    let backslash = bytes ^ (ONES * b'\\' as u128);
    let special = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (bytes.wrapping_sub(ONES * 0x20) & !bytes);
    ((special & HIGH).trailing_zeros() / 8) as usize
}
