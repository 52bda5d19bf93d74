//! Removes a key from text that Polytomic sends back, whatever its encoding.
//!
//! An error may echo the request: as it was, percent-encoded, with JSON's or HTML's
//! escapes, in hexadecimal or base64, or cut. So the search is not for the whole key but
//! for eight characters of it in a row, after each escape has been undone.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};

/// Characters in a row that are removed: fewer occur in ordinary text by chance, and
/// reveal little of a key.
const RUN: usize = 8;

const BLANK: &str = "[the key]";

/// Removes one key from texts.
pub struct Redactor {
    /// The runs of the key and of its encodings, in lower case.
    runs: HashSet<Vec<u8>>,
    run: usize,
}

impl Redactor {
    pub(super) fn new(key: &[u8]) -> Self {
        let run = key.len().clamp(1, RUN);
        let mut runs = HashSet::new();
        let mut add = |text: &[u8]| {
            let text: Vec<u8> = text.iter().copied().map(fold).collect();
            runs.extend(text.windows(run).map(<[u8]>::to_vec));
        };
        add(key);
        // Runs of a shorter key in another encoding would occur by chance.
        if run == RUN {
            let hex: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
            add(hex.concat().as_bytes());
            for before in 0..3 {
                add(base64(key, before).as_bytes());
            }
        }
        Self { runs, run }
    }

    /// Returns the text with each part of the key replaced by `[the key]`.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut units: Vec<Unit> = text.bytes().enumerate().map(Unit::new).collect();
        // As it is, and for what was escaped once and twice.
        for _ in 0..3 {
            let bytes: Vec<u8> = units.iter().map(|unit| fold(unit.byte)).collect();
            for (at, window) in bytes.windows(self.run).enumerate() {
                if self.runs.contains(window) {
                    found.push(units[at].from..units[at + self.run - 1].to);
                }
            }
            units = undo_escapes(&units);
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

/// Undoes `%2F`, `\u002f`, `\x2f`, `\/`, `&#47;` and `&#x2f;`.
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
    let mut start = [0; 10];
    for (byte, unit) in start.iter_mut().zip(units) {
        *byte = unit.byte;
    }
    let digits = |from: usize, to: usize, radix| {
        let digits = std::str::from_utf8(start.get(from..to)?).ok()?;
        Some((u8::from_str_radix(digits, radix).ok()?, to))
    };
    let entity = |from: usize, radix| {
        let length = start[from..].iter().position(|byte| *byte == b';')?;
        let (byte, end) = digits(from, from + length, radix)?;
        Some((byte, end + 1))
    };
    match start {
        [b'%', ..] => digits(1, 3, 16),
        [b'\\', b'u', ..] => digits(2, 6, 16),
        [b'\\', b'x', ..] => digits(2, 4, 16),
        [b'\\', byte, ..] if units.len() > 1 => Some((byte, 2)),
        [b'&', b'#', b'x' | b'X', ..] => entity(3, 16),
        [b'&', b'#', ..] => entity(2, 10),
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
    fn parts_of_the_key_are_removed() {
        for part in [&KEY[..8], &KEY[..12], &KEY[9..], &KEY[5..17]] {
            assert_eq!(redact(&format!("{part}...")), format!("{BLANK}..."));
        }
        assert_eq!(redact(&KEY[..7]), &KEY[..7], "too short to tell");
        assert_eq!(redact("pk_Live/é7d1f+9a52~"), format!("{BLANK}é{BLANK}"));
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
