//! Removes a key from text that Polytomic sends back, whatever its encoding.
//!
//! An error may echo the request: as it was, percent-encoded, with JSON's or HTML's
//! escapes, in hexadecimal or base64, in pieces, or cut. So the search is not for the
//! whole key but for eight characters of it in a row, after each escape has been undone,
//! and for twelve letters and digits of it, whatever stands between them.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};

/// Characters in a row that are removed: fewer occur in ordinary text by chance, and
/// reveal little of a key.
const RUN: usize = 8;

/// Letters and digits that are removed with all that stands between them. More than of a
/// run, since the words of ordinary text make longer rows.
const SPREAD_RUN: usize = 12;

/// How often an escape may have been escaped.
const MAX_ESCAPES: usize = 4;

const BLANK: &str = "[the key]";

/// Removes one key from texts.
pub struct Redactor {
    whole: Runs,
    spread: Runs,
}

/// Parts of the key and of its encodings, in lower case and of one length.
struct Runs {
    length: usize,
    parts: HashSet<Vec<u8>>,
}

impl Redactor {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut whole = Runs::new(key.len().clamp(1, RUN));
        let mut spread = Runs::new(SPREAD_RUN);
        whole.add(key.to_vec());
        // Parts of a shorter key in another encoding would occur by chance.
        if whole.length == RUN {
            let each = |write: fn(&u8) -> String| -> Vec<u8> {
                key.iter().flat_map(|byte| write(byte).into_bytes()).collect()
            };
            let hex = each(|byte| format!("{byte:02x}"));
            let lists = [each(u8::to_string), each(|byte| format!("0x{byte:02x}"))];
            let base64 = [0, 1, 2].map(|before| base64(key, before).into_bytes());
            for text in [key.to_vec(), hex].into_iter().chain(base64) {
                whole.add(text.clone());
                spread.add(text);
            }
            for list in lists {
                spread.add(list);
            }
        }
        Self { whole, spread }
    }

    /// Returns the text with each part of the key replaced by `[the key]`.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut units: Vec<Unit> = text.bytes().enumerate().map(Unit::new).collect();
        for _ in 0..=MAX_ESCAPES {
            self.whole.find(&units, &mut found);
            let spread: Vec<Unit> = units
                .iter()
                .filter(|unit| unit.byte.is_ascii_alphanumeric())
                .copied()
                .collect();
            self.spread.find(&spread, &mut found);
            let plain = undo_escapes(&units);
            if plain.len() == units.len() {
                break;
            }
            units = plain;
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut kept = String::with_capacity(text.len());
        let mut at = 0;
        for range in found {
            if range.start >= at {
                kept.push_str(text.get(at..range.start).unwrap_or_default());
                kept.push_str(BLANK);
            }
            at = at.max(range.end);
        }
        kept.push_str(text.get(at..).unwrap_or_default());
        Cow::Owned(kept)
    }
}

impl Runs {
    fn new(length: usize) -> Self {
        Self { length, parts: HashSet::new() }
    }

    /// Adds the parts of a text. Those of letters and digits alone, if they are spread.
    fn add(&mut self, mut text: Vec<u8>) {
        if self.length == SPREAD_RUN {
            text.retain(u8::is_ascii_alphanumeric);
        }
        for byte in &mut text {
            *byte = fold(*byte);
        }
        self.parts.extend(text.windows(self.length).map(<[u8]>::to_vec));
    }

    /// Adds where the parts are in a text.
    fn find(&self, units: &[Unit], found: &mut Vec<Range<usize>>) {
        let bytes: Vec<u8> = units.iter().map(|unit| fold(unit.byte)).collect();
        for (at, window) in bytes.windows(self.length).enumerate() {
            if self.parts.contains(window) {
                found.push(units[at].from..units[at + self.length - 1].to);
            }
        }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// Returns the characters of the key in base64 that do not depend on the `before` bytes
/// in front of it, nor on those after it.
fn base64(key: &[u8], before: usize) -> String {
    let mut text = vec![0; before];
    text.extend_from_slice(key);
    let whole = text.len() / 3 * 3;
    let encoded = BASE64.encode(&text[..whole]);
    let start = [0, 2, 3][before];
    encoded.get(start..).unwrap_or_default().to_owned()
}

/// Makes upper and lower case equal, and the two alphabets of base64.
fn fold(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        _ => byte.to_ascii_lowercase(),
    }
}

/// A byte of a text without escapes, and where it stands in the text.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    from: usize,
    to: usize,
}

impl Unit {
    fn new((at, byte): (usize, u8)) -> Self {
        Self { byte, from: at, to: at + 1 }
    }
}

/// Undoes `%2F`, `=2F`, `\x2f`, `\u002f`, `\u{2f}`, `\U0000002f`, `\057`, `\/`, `&#47;`,
/// `&#x2f;`, `&amp;` and wide letters such as `／`.
fn undo_escapes(units: &[Unit]) -> Vec<Unit> {
    let mut plain = Vec::with_capacity(units.len());
    let mut rest = units;
    while let [first, ..] = rest {
        let (byte, length) = escape(rest).unwrap_or((first.byte, 1));
        plain.push(Unit { byte, from: first.from, to: rest[length - 1].to });
        rest = &rest[length..];
    }
    plain
}

/// Returns the byte that an escape at the start stands for, and its length.
fn escape(units: &[Unit]) -> Option<(u8, usize)> {
    let mut start = [0; 12];
    for (byte, unit) in start.iter_mut().zip(units) {
        *byte = unit.byte;
    }
    // Digits after a prefix of this length, and what ends them, if anything does.
    let number = |prefix: usize, radix: u32, most: usize, end: u8| {
        let digits = start[prefix..].iter().take(most);
        let digits = digits.take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let after = prefix + digits;
        let text = str::from_utf8(&start[prefix..after]).ok()?;
        let byte = u8::try_from(u32::from_str_radix(text, radix).ok()?).ok()?;
        Some((byte, after + usize::from(start.get(after) == Some(&end) && end != 0)))
    };
    let exact = |prefix, radix, most| {
        number(prefix, radix, most, 0).filter(|(_, length)| *length == prefix + most)
    };
    match start {
        [b'%' | b'=', ..] => exact(1, 16, 2),
        [b'\\', b'x', ..] => exact(2, 16, 2),
        [b'\\', b'u', b'{', ..] => number(3, 16, 6, b'}'),
        [b'\\', b'u', ..] => exact(2, 16, 4),
        [b'\\', b'U', ..] => exact(2, 16, 8),
        [b'\\', b'0'..=b'3', ..] => exact(1, 8, 3),
        [b'\\', byte, ..] if units.len() > 1 => Some((byte, 2)),
        [b'&', b'#', b'x' | b'X', ..] => number(3, 16, 8, b';'),
        [b'&', b'#', ..] => number(2, 10, 8, b';'),
        [b'&', b'a' | b'A', b'm' | b'M', b'p' | b'P', b';', ..] => Some((b'&', 5)),
        // U+FF01 to U+FF5E, in UTF-8.
        [0xEF, 0xBC, low @ 0x81..=0xBF, ..] => Some((low - 0x60, 3)),
        [0xEF, 0xBD, low @ 0x80..=0x9E, ..] => Some((low - 0x20, 3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use base64::engine::general_purpose::URL_SAFE;

    use super::*;

    const KEY: &str = "pk_Live/7d1f+9a52~canary=";

    fn redact(text: &str) -> String {
        Redactor::new(KEY.as_bytes()).redact(text).into_owned()
    }

    fn each(escape: impl Fn(u8) -> String) -> String {
        KEY.bytes().map(escape).collect()
    }

    #[test]
    fn every_encoding_of_the_key_is_removed() {
        let percent = each(|byte| format!("%{byte:02X}"));
        let slashes = KEY.replace('/', "\\/");
        let echoes = [
            KEY.to_owned(),
            KEY.to_uppercase(),
            percent.clone(),
            percent.replace('%', "%25"),
            KEY.replace('/', "%2f").replace('+', "%2B"),
            slashes.clone(),
            slashes.replace('\\', "\\\\"),
            each(|byte| format!("\\u{byte:04x}")),
            each(|byte| format!("\\x{byte:02x}")),
            each(|byte| format!("&#{byte};")),
            each(|byte| format!("&#x{byte:X};")),
            each(|byte| format!("&#{byte:07};")),
            each(|byte| format!("&#{byte}")),
            each(|byte| format!("\\u{{{byte:x}}}")),
            each(|byte| format!("\\U{byte:08x}")),
            each(|byte| format!("\\{byte:03o}")),
            percent.replace('%', "%2525"),
            each(|byte| format!("&amp;#{byte};")),
            each(|byte| format!("&amp;amp;#x{byte:x};")),
            KEY.replace('/', "&amp;#x2F;").replace('+', "&AMP;#43;"),
            KEY.chars().map(|c| char::from_u32(u32::from(c) + 0xFEE0).unwrap()).collect(),
            each(|byte| format!("{byte:02x}")),
        ];
        for echo in echoes {
            for text in [format!("the key {echo} is bad"), format!("({echo})")] {
                let clean = text.replace(&echo, BLANK);
                assert_eq!(redact(&text), clean, "{text}");
            }
        }
    }

    #[test]
    fn base64_of_the_key_is_removed_wherever_it_starts() {
        for before in ["", "x", "u:", "key=", "Bearer "] {
            let text = format!("{before}{KEY}");
            for encoded in [BASE64.encode(&text), URL_SAFE.encode(&text)] {
                let shown = redact(&format!("basic {encoded}"));
                assert!(shown.starts_with("basic "), "{shown}");
                let rest = shown.replace("basic ", "").replace(BLANK, "");
                // What is left is of the text before, and less than a run of the key.
                assert!(rest.len() < before.len() * 4 / 3 + RUN, "{encoded}: {shown}");
            }
        }
    }

    #[test]
    fn key_in_pieces_is_removed() {
        let spread = |between: &str| {
            KEY.chars().map(|c| c.to_string()).collect::<Vec<_>>().join(between)
        };
        let list = |each: fn(u8) -> String, between: &str| {
            KEY.bytes().map(each).collect::<Vec<_>>().join(between)
        };
        let in_fours = |text: &str| {
            let pieces: Vec<_> = text.as_bytes().chunks(4).map(str::from_utf8).collect();
            pieces.into_iter().map(Result::unwrap).collect::<Vec<_>>().join(" ")
        };
        let hex = |byte| format!("{byte:02x}");
        for echo in [
            spread(" "),
            spread("-"),
            spread("\u{301}"),
            in_fours(KEY),
            in_fours(&BASE64.encode(KEY)),
            list(hex, ":"),
            list(hex, " "),
            list(|byte| byte.to_string(), ", "),
            list(|byte| format!("0x{byte:02x}"), ","),
            each(|byte| format!("={byte:02X}")),
        ] {
            let text = format!("the key ({echo}) is bad");
            let shown = redact(&text);
            let (start, end) = (shown.find(BLANK).unwrap(), shown.rfind(BLANK).unwrap());
            assert!(start < 20 && shown.len() - end < 30, "{text}: {shown}");
            assert!(shown.len() < 60, "{text}: {shown}");
        }
    }

    #[test]
    fn parts_of_the_key_are_removed() {
        for part in [&KEY[..8], &KEY[..12], &KEY[9..], &KEY[5..17]] {
            assert_eq!(redact(&format!("{part}...")), format!("{BLANK}..."));
        }
        assert_eq!(redact(&KEY[..7]), &KEY[..7], "too short to tell");
        assert_eq!(redact("pk_Live/é7d1f+9a52~"), BLANK);
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "",
            "connection not found",
            "100 %, 5 %2, \\, \\u00, &#, &#x;, &#999;",
            "248df4b7-aa70-47b8-a036-33ac447e668d",
            "größte Zahl: 5 €",
        ] {
            assert_eq!(redact(text), text);
        }
        let short = Redactor::new(b"abc");
        assert_eq!(short.redact("an abc and ab"), "an [the key] and ab");
    }
}
