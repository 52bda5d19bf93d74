//! The path templates of `google.api.http`, in the form that Polytomic needs.
//!
//! A segment is literal text or one `{field}`. The rest of the grammar (`*`,
//! `**`, `{a=b/*}`, `:verb`) is an error until an endpoint needs it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Each character that must be escaped in a path segment and in a query: all but
/// the unreserved ones (RFC 3986 §2.3).
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A part of a path between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Text of unreserved characters.
    Literal(&'a str),
    /// The name of a request field, whose value stands in the path.
    Variable(&'a str),
}

/// Returns the segments of a template such as `/api/things/{id}`.
///
/// # Errors
///
/// If the gateway does not support a part of the template; names the part.
pub(super) fn parse(template: &str) -> Result<Vec<Segment<'_>>, String> {
    let Some(path) = template.strip_prefix('/') else {
        return Err(format!("the path `{template}` must start with `/`"));
    };
    path.split('/')
        .map(|text| {
            segment(text).map_err(|problem| format!("the path `{template}` {problem}"))
        })
        .collect()
}

fn segment(text: &str) -> Result<Segment<'_>, String> {
    let variable = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = variable {
        if is_identifier(name) {
            return Ok(Segment::Variable(name));
        }
        return Err(format!(
            "has the variable `{text}`; only the name of a top-level field is supported, \
             as in `{{id}}`"
        ));
    }
    if text.is_empty() {
        return Err("has an empty segment; remove the doubled or last `/`".to_owned());
    }
    if text.bytes().all(|byte| byte == b'.') || !text.bytes().all(is_unreserved) {
        return Err(format!(
            "has the segment `{text}`; a segment is `{{field}}` or made of letters, digits \
             and `-._~`"
        ));
    }
    Ok(Segment::Literal(text))
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
