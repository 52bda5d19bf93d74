//! Makes foreign text fit to be shown: printable, without links or secrets, and short.
//!
//! What Polytomic writes may echo a credential, carry terminal escapes, or hide
//! its reading order; none of that may travel in a gRPC message.

use std::sync::LazyLock;

use regex::Regex;

/// Text beyond this is not even looked at; a message keeps far less of it.
const LONGEST_LOOKED_AT: usize = 8 * 1024;

/// Bidirectional and other format characters, private and unassigned ones.
static UNPRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Cf}\p{Co}\p{Cn}]").expect("the pattern is valid"));

/// Controls, line and paragraph ends, and every width of space become one space.
static BLANK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Z}]+").expect("the pattern is valid"));

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[a-z0-9+.\-]*://[^\s]*|\bwww\.[^\s]+").expect("the pattern is valid")
});

/// Bearer and Basic credentials, prefixed keys, and `secret=value` pairs.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\bbearer[\s:]+[^\s]+",
        r"|\bbasic\s+[a-z0-9+/=_\-]{12,}",
        r"|\b[ps]k_[a-z0-9_\-]{6,}",
        r"|\b(?:password|passwd|secret|token|api[_\-]?key|authorization)=[^\s]+",
    ))
    .expect("the pattern is valid")
});

/// Cleans a line of text and cuts it to `limit` bytes.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let text = prefix(text, LONGEST_LOOKED_AT);
    // First of all: a zero-width character must not hide a link or a secret.
    let text = UNPRINTABLE.replace_all(text, "");
    let text = BLANK.replace_all(&text, " ");
    let text = SECRET.replace_all(&text, "(removed)");
    let text = LINK.replace_all(&text, "(link removed)");
    shorten(text.trim(), limit, usize::MAX)
}

/// Keeps the characters of an identifier, at most `limit` of them.
pub(super) fn identifier(text: &str, limit: usize) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
        .take(limit)
        .collect()
}

/// Cuts text to `limit` bytes, and to `encoded_limit` once percent-encoded.
///
/// The cut is on a character, and shown by an ellipsis.
pub(super) fn shorten(text: &str, limit: usize, encoded_limit: usize) -> String {
    const ELLIPSIS: char = '…';
    let fits = |kept: &(usize, usize)| kept.0 <= limit && kept.1 <= encoded_limit;
    let lengths = |reserve: (usize, usize)| {
        text.chars().scan(reserve, |(plain, encoded), c| {
            *plain += c.len_utf8();
            *encoded += encoded_len(c);
            Some((*plain, *encoded))
        })
    };
    if lengths((0, 0)).last().as_ref().is_none_or(fits) {
        return text.to_owned();
    }
    let mark = (ELLIPSIS.len_utf8(), encoded_len(ELLIPSIS));
    let Some((end, _)) = lengths(mark).take_while(fits).last() else {
        return String::new();
    };
    let mut short = text[..end - mark.0].trim_end().to_owned();
    short.push(ELLIPSIS);
    short
}

/// Returns the length of text as `grpc-message` carries it, rounded up.
pub(super) fn encoded_length(text: &str) -> usize {
    text.chars().map(encoded_len).sum()
}

fn encoded_len(c: char) -> usize {
    let plain = c.is_ascii_graphic()
        && !matches!(c, '"' | '#' | '%' | '<' | '>' | '`' | '?' | '{' | '}');
    if plain { 1 } else { 3 * c.len_utf8() }
}

/// Returns the start of text, at most `limit` bytes of whole characters.
pub(super) fn prefix(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cleaned() {
        let cases = [
            ("plain words stay", "plain words stay"),
            ("  two\r\n\tlines\u{2028}three ", "two lines three"),
            ("esc\u{1b}[31mape", "esc [31mape"),
            ("bidi \u{202e}txt.exe\u{2069}", "bidi txt.exe"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("see https://app.polytomic.com/x?k=1 now", "see (link removed) now"),
            ("ht\u{200b}tps://evil.example", "(link removed)"),
            ("go to www.example.com/a", "go to (link removed)"),
            ("postgres://u:p@host/db failed", "(link removed) failed"),
            ("bad header: Bearer abc.def", "bad header: (removed)"),
            ("key pk_live_4f8a9b is unknown", "key (removed) is unknown"),
            ("Basic dXNlcjpwYXNzd29yZA==", "(removed)"),
            ("a basic sanity check", "a basic sanity check"),
            ("api_key=hunter2 refused", "(removed) refused"),
            ("größer als 5 €", "größer als 5 €"),
        ];
        for (raw, cleaned) in cases {
            assert_eq!(clean(raw, 1024), cleaned, "{raw:?}");
        }
    }

    #[test]
    fn cleaning_twice_changes_nothing() {
        let once = clean("Bearer x at https://a.b\u{7}c", 1024);
        assert_eq!(clean(&once, 1024), once);
    }

    #[test]
    fn a_cut_falls_on_a_character_and_is_shown() {
        assert_eq!(shorten("abcdef", 6, 99), "abcdef");
        assert_eq!(shorten("abcdefg", 6, 99), "abc…");
        assert_eq!(shorten("ééééé", 8, 99), "éé…");
        assert_eq!(shorten("ééééé", 99, 21), "éé…");
        assert_eq!(shorten("abc", 2, 99), "");
    }

    #[test]
    fn an_identifier_keeps_only_its_characters() {
        assert_eq!(identifier("not_found\r\n<b>", 128), "not_foundb");
        assert_eq!(identifier(&"k".repeat(500), 128).len(), 128);
    }
}
#[cfg(test)]
mod timing {
    #[test]
    fn time_it() {
        for t in ["x".repeat(8192), "語".repeat(2730), "word and word ".repeat(600)] {
            for (n, r) in [
                ("unp", &super::UNPRINTABLE),
                ("blank", &super::BLANK),
                ("secret", &super::SECRET),
                ("link", &super::LINK),
            ] {
                r.replace_all("warm", "");
                let s = std::time::Instant::now();
                for _ in 0..10 {
                    r.replace_all(&t, "");
                }
                eprintln!("{n} {:?}", s.elapsed() / 10);
            }
        }
    }
}
