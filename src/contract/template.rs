//! The path templates of `google.api.http`, in the form that Polytomic needs.
//!
//! A segment is literal text or one `{field}`. The rest of the grammar
//! (`*`, `**`, `{a=b/*}`, `:verb`) is refused until an endpoint needs it.

use std::fmt;

/// A path with places for the values of request fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

/// A part of a path between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text that stands in the path as it is.
    Literal(String),
    /// The name of the request field whose value stands in the path.
    Variable(String),
}

impl Template {
    /// Parses a template such as `/api/organizations/{org_id}`.
    ///
    /// # Errors
    ///
    /// Says in words which part of the template is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("the path `{text}` must start with `/`"));
        };
        let segments = path
            .split('/')
            .map(|segment| {
                Segment::parse(segment).map_err(|e| format!("the path `{text}` {e}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// Returns the segments in the order of the path.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the names of the bound fields in the order of the path.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) =
            text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
        {
            if is_identifier(inner) {
                return Ok(Self::Variable(inner.to_owned()));
            }
            return Err(format!(
                "has the variable `{text}`; only the name of a top-level field is supported, \
                 as in `{{org_id}}`"
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
        Ok(Self::Literal(text.to_owned()))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Variable(name) => write!(f, "/{{{name}}}")?,
            }
        }
        Ok(())
    }
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Tells the characters that RFC 3986 §2.3 leaves without a meaning in a URL.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
