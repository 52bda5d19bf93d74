//! Cleans Polytomic's text for clients: printable, without links or secrets, and short.
//!
//! The text may contain a credential or terminal escapes, or hide its reading order.
//! None of these may be in a gRPC message.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// Format characters (bidirectional ones among them), private and unassigned ones.
static UNPRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Cf}\p{Co}\p{Cn}]").expect("the pattern is valid"));

/// Parts of a word that contains a secret.
const SECRETS: &[&str] = &[
    "password=",
    "secret=",
    "token=",
    "apikey=",
    "api_key=",
    "api-key=",
    "authorization=",
];

/// The first letters of keys that are recognized by them.
const KEYS: &[&str] = &["pk_", "sk_"];

/// Cleans a line of text and cuts it to `limit` bytes.
pub(super) fn clean(text: &str, limit: usize) -> String {
    // More than the limit, since the next steps remove characters.
    let text = prefix(text, 2 * limit + 64);
    let text = printable(text);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());

    let mut line = String::with_capacity(text.len());
    let mut is_announced = false;
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        let lower = word.to_lowercase();
        line.push_str(if is_announced || is_secret(&lower) {
            "(removed)"
        } else if is_link(&lower) {
            "(link removed)"
        } else {
            word
        });
        is_announced = announces_secret(&lower);
    }
    shorten(&line, limit, usize::MAX)
}

/// Removes what is not printed. First of all: a zero-width character must not hide a
/// link or a secret.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    UNPRINTABLE.replace_all(text, "")
}

fn is_link(word: &str) -> bool {
    word.contains("://") || bare(word).starts_with("www.")
}

fn is_secret(word: &str) -> bool {
    let (before, after) = word.rsplit_once("bearer").unwrap_or((word, ""));
    !bare(after).is_empty()
        || SECRETS.iter().any(|name| before.contains(name))
        || KEYS.iter().any(|start| bare(word).starts_with(start))
}

/// Reports whether the next word is a secret: `Bearer ..`, `Authorization: ..`.
fn announces_secret(word: &str) -> bool {
    let bare = bare(word);
    bare.ends_with("bearer") || (bare == "authorization" && word.contains(':'))
}

/// Returns a word without the quotes, brackets and commas around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Returns the characters that an identifier may have, `limit` at most.
pub(super) fn identifier(text: &str, limit: usize) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
        .take(limit)
        .collect()
}

/// Cuts text to `limit` bytes, and to `encoded_limit` once percent-encoded.
///
/// The cut keeps whole characters and adds an ellipsis.
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
            ("red\u{1b}[31mmark", "red [31mmark"),
            ("a\u{301} नमस्ते", "a\u{301} नमस्ते"),
            ("bidi \u{202e}txt.exe\u{2069}", "bidi txt.exe"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("see https://app.polytomic.com/x?k=1 now", "see (link removed) now"),
            ("ht\u{200b}tps://evil.example", "(link removed)"),
            ("go to www.example.com/a", "go to (link removed)"),
            ("postgres://u:p@host/db failed", "(link removed) failed"),
            ("bad header: Bearer abc.def", "bad header: Bearer (removed)"),
            ("key pk_live_4f8a9b is unknown", "key (removed) is unknown"),
            (r#"{"Authorization":"Bearer x"}"#, r#"{"Authorization":"Bearer (removed)"#),
            ("Authorization: Bearer x y", "Authorization: (removed) (removed) y"),
            ("bearer:abc bearer=abc", "(removed) (removed)"),
            ("the authorization header", "the authorization header"),
            ("the bearer of news", "the bearer (removed) news"),
            ("api_key=hunter2 refused", "(removed) refused"),
            ("größte Zahl: 5 €", "größte Zahl: 5 €"),
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
    fn cut_keeps_whole_characters_and_adds_an_ellipsis() {
        assert_eq!(shorten("abcdef", 6, 99), "abcdef");
        assert_eq!(shorten("abcdefg", 6, 99), "abc…");
        assert_eq!(shorten("ééééé", 8, 99), "éé…");
        assert_eq!(shorten("ééééé", 99, 21), "éé…");
        assert_eq!(shorten("abc", 2, 99), "");
    }

    #[test]
    fn identifier_has_only_its_characters() {
        assert_eq!(identifier("not_found\r\n<b>", 128), "not_foundb");
        assert_eq!(identifier(&"k".repeat(500), 128).len(), 128);
    }
}
