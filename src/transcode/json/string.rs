//! Strings. They are most of a response, so reading them takes most of the time.

use super::{Error, Problem, Reader};

/// Bytes that are examined together.
const BLOCK: usize = size_of::<u64>();

impl Reader<'_> {
    /// Appends a string, whose opening quote is next, to a buffer.
    #[inline]
    pub(crate) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
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

    /// Copies the bytes before the next quote, escape or control character.
    #[inline]
    fn plain(&mut self, out: &mut Vec<u8>) {
        let mut rest = self.rest();
        while let Some((block, after)) = rest.split_first_chunk() {
            // A copy of constant size is one instruction, a copy of the exact
            // size is a call.
            out.extend_from_slice(block);
            let plain = plain(*block);
            if plain < BLOCK {
                out.truncate(out.len() - BLOCK + plain);
                self.at = self.text.len() - rest.len() + plain;
                return;
            }
            rest = after;
        }
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        self.at = self.text.len() - rest.len() + plain;
    }

    #[cold]
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
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
    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
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

/// Returns the number of bytes before the first quote, backslash or control
/// character.
#[inline]
fn plain(block: [u8; BLOCK]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; BLOCK]);
    const HIGH: u64 = u64::from_le_bytes([0x80; BLOCK]);
    const QUOTES: u64 = u64::from_le_bytes([b'"'; BLOCK]);
    const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; BLOCK]);
    const SPACES: u64 = u64::from_le_bytes([b' '; BLOCK]);

    // A subtraction that borrows sets the high bit of its byte. A borrow may mark
    // later bytes too, but the first mark is right.
    let bytes = u64::from_le_bytes(block);
    let quote = bytes ^ QUOTES;
    let backslash = bytes ^ BACKSLASHES;
    let special = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (bytes.wrapping_sub(SPACES) & !bytes);
    (special & HIGH).trailing_zeros() as usize / 8
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
                    let special = byte == b'"' || byte == b'\\' || byte < 0x20;
                    let expected = if special { position } else { BLOCK };
                    assert_eq!(plain(block), expected, "{block:?}");
                    if special {
                        block[position..].fill(byte);
                        assert_eq!(plain(block), position, "{block:?}");
                    }
                }
            }
        }
    }
}
