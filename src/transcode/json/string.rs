//! Strings. They are most of a response, so reading them takes most of the time.

use wide::u8x16;

use super::{Error, Problem, Reader};
use crate::transcode::output::Output;

/// Bytes that are examined together: 16 are one vector in any processor that Rust calls
/// `x86_64` or `aarch64`.
const BLOCK: usize = 16;

impl Reader<'_> {
    /// Appends a string, whose opening quote is next, to a message.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "most of the time is spent here")]
    pub(crate) fn string(&mut self, out: &mut Output) -> Result<(), Error> {
        self.at += 1;
        loop {
            self.plain(out);
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

    /// As [`string`](Self::string), as one copy of its code for what is rarer.
    #[inline(never)]
    pub(crate) fn text(&mut self, out: &mut Output) -> Result<(), Error> {
        self.string(out)
    }

    /// Copies the bytes before the next quote, escape or control character.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "most of the time is spent here")]
    fn plain(&mut self, out: &mut Output) {
        loop {
            let (blocks, _) = self.rest().as_chunks();
            let (places, _) = out.spare().as_chunks_mut();
            let mut copied = 0;
            for (block, place) in blocks.iter().zip(places) {
                // A copy of constant size is one instruction, a copy of the exact size is
                // a call.
                *place = *block;
                let special = special(*block);
                if special != 0 {
                    copied += special.trailing_zeros() as usize;
                    self.at += copied;
                    out.advance(copied);
                    return;
                }
                copied += BLOCK;
            }
            self.at += copied;
            out.advance(copied);
            if self.rest().len() < BLOCK {
                return self.last_plain(out);
            }
            out.grow();
        }
    }

    /// As [`plain`](Self::plain), of the last bytes of the text.
    #[cold]
    fn last_plain(&mut self, out: &mut Output) {
        let rest = self.rest();
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        self.at += plain;
    }

    #[cold]
    fn escape(&mut self, out: &mut Output) -> Result<(), Error> {
        self.at += 1;
        let character = match self.text.get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => b'\x08',
            Some(b'f') => b'\x0c',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(out),
            _ => return Err(self.error(Problem::Escape)),
        };
        self.at += 1;
        out.push(character);
        Ok(())
    }

    /// Reads a character whose UTF-16 is in one escape of four digits, or in two.
    fn unicode_escape(&mut self, out: &mut Output) -> Result<(), Error> {
        let start = self.at - 1;
        self.at += 1;
        let first = self.hexadecimal()?;
        let is_pair = (0xd800..0xdc00).contains(&first) && self.take(b"\\u");
        let second = if is_pair { Some(self.hexadecimal()?) } else { None };
        let mut characters = char::decode_utf16([first].into_iter().chain(second));
        let Some(Ok(character)) = characters.next() else {
            // The second half may begin in what is missing.
            let ended = matches!(self.rest(), b"" | b"\\");
            let problem = if ended { Problem::EndsEarly } else { Problem::Surrogate };
            return Err(Error {
                problem,
                byte: if ended { self.text.len() } else { start },
            });
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<u16, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.text.get(self.at) {
                Some(byte @ b'0'..=b'9') => byte - b'0',
                Some(byte @ b'a'..=b'f') => byte - b'a' + 10,
                Some(byte @ b'A'..=b'F') => byte - b'A' + 10,
                _ => return Err(self.error(Problem::Escape)),
            };
            unit = unit << 4 | u16::from(digit);
            self.at += 1;
        }
        Ok(unit)
    }
}

/// Returns a bit for each byte of a block that is a quote, a backslash or a control
/// character; the lowest is the first byte's.
#[inline]
fn special(block: [u8; BLOCK]) -> u32 {
    const LAST_CONTROL: u8 = 0x1f;

    let block = u8x16::from(block);
    let quotes = block.simd_eq(u8x16::splat(b'"'));
    let backslashes = block.simd_eq(u8x16::splat(b'\\'));
    let controls = block.simd_eq(block.min(u8x16::splat(LAST_CONTROL)));
    (quotes | backslashes | controls).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_byte_is_found_at_each_position() {
        for position in 0..BLOCK {
            for byte in 0..=u8::MAX {
                for others in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut block = [others; BLOCK];
                    block[position] = byte;
                    let is_special = byte == b'"' || byte == b'\\' || byte < 0x20;
                    let expected = if is_special { 1 << position } else { 0 };
                    assert_eq!(special(block), expected, "{block:?}");
                }
            }
        }
    }
}
