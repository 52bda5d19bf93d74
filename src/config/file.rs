//! The configuration file: TOML, whose keys are the flags of a gateway without `--`.
//!
//! No error shows a value of an unknown key or a line of the file: an operator may have
//! written a credential there.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::de::{DeInteger, DeTable, DeValue};

use super::declaration::{Declaration, Kind, is_like_credential};
use crate::files::{self, ReadError};

/// The most bytes of a file. One with every setting and its comments has under 16 KiB.
const MOST_BYTES: usize = 256 * 1024;

/// The least similarity of a key to the one that the error suggests, of at most 1.
const SIMILAR: f64 = 0.8;

/// The value of a setting in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The texts that the flag would have: one, unless the setting is a list.
    pub(super) values: Vec<String>,
    pub(super) place: Place,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the configuration file {}: {source}", file.display())]
    Read { file: PathBuf, source: ReadError },
    #[error("the configuration file {} is UTF-16; save it as UTF-8", .0.display())]
    Utf16(PathBuf),
    #[error("{0}: the line is not UTF-8; save the file as UTF-8")]
    NotUtf8(Place),
    #[error("{place}: the file is not valid TOML: {problem}")]
    Syntax { place: Place, problem: String },
    #[error("{place}: unknown key `{key}`{advice}")]
    Unknown { place: Place, key: String, advice: String },
    #[error(
        "{place}: `{key}` looks like a credential, which this file must not hold; put it \
         in a file of its own, and name that with {settings}"
    )]
    Credential { place: Place, key: String, settings: String },
    #[error("{place}: `{key}` has a value of the wrong type; give {form}")]
    Type { place: Place, key: String, form: &'static str },
}

/// Reads a file and checks its keys and the types of their values.
pub(super) fn read(path: &Path, known: &[Declaration]) -> Result<Vec<Entry>, Error> {
    let content = files::read(path, MOST_BYTES)
        .map_err(|source| Error::Read { file: path.to_owned(), source })?;
    parse(path, &content, known)
}

fn parse(
    path: &Path,
    content: &[u8],
    known: &[Declaration],
) -> Result<Vec<Entry>, Error> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err(Error::Utf16(path.to_owned()));
    }
    // An editor may have put the byte order mark of UTF-8 before it.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let place = |offset: usize| Place::at(path, content, offset);
    let text = str::from_utf8(content)
        .map_err(|error| Error::NotUtf8(place(error.valid_up_to())))?;
    let table = DeTable::parse(text).map_err(|error| Error::Syntax {
        // Its `Display` would quote the line.
        problem: error.message().to_owned(),
        place: place(error.span().map_or(0, |span| span.start)),
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.into_inner() {
        let place = place(key.span().start);
        entries.push(entry(&key.into_inner(), value.get_ref(), place, known)?);
    }
    entries.sort_by_key(|entry| entry.place.line);
    Ok(entries)
}

fn entry(
    key: &str,
    value: &DeValue<'_>,
    place: Place,
    known: &[Declaration],
) -> Result<Entry, Error> {
    let key = key.escape_debug().to_string();
    let Some(setting) = known.iter().find(|setting| setting.key == key) else {
        return Err(unknown(key, place, known));
    };
    match texts(setting.kind, value) {
        Some(values) => Ok(Entry { key, values, place }),
        None => Err(Error::Type { place, key, form: setting.kind.form() }),
    }
}

/// Returns what the flag would have, if the value has the right type.
fn texts(kind: Kind, value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = match (kind, value) {
        (Kind::Switch, DeValue::Boolean(is_on)) => is_on.to_string(),
        (
            Kind::Duration | Kind::Size | Kind::Text | Kind::List,
            DeValue::String(text),
        ) => text.clone().into_owned(),
        (Kind::Duration | Kind::Size | Kind::Number, DeValue::Integer(number)) => {
            decimal(number)
        }
        // Rust's own text has no exponent.
        (Kind::Duration, DeValue::Float(number)) => {
            number.as_str().parse::<f64>().ok()?.to_string()
        }
        (Kind::List, DeValue::Array(array)) => {
            let text = |value: &DeValue<'_>| Some(value.as_str()?.to_owned());
            return array.iter().map(|value| text(value.get_ref())).collect();
        }
        _ => return None,
    };
    Some(vec![text])
}

/// Returns a number in decimal digits. One that is too large stays as it is, for the
/// parser of the setting to reject.
fn decimal(number: &DeInteger<'_>) -> String {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| number.to_string(), |number| number.to_string())
}

fn unknown(key: String, place: Place, known: &[Declaration]) -> Error {
    let similarity = |setting: &&Declaration| strsim::jaro(&setting.key, &key);
    let nearest = known
        .iter()
        .max_by(|one, other| similarity(one).total_cmp(&similarity(other)))
        .filter(|setting| similarity(setting) >= SIMILAR);
    if is_like_credential(&key) && nearest.is_none_or(Declaration::is_of_credential_file)
        // Otherwise it is a misspelt setting, which only names a file.
        && !key.contains("file")
    {
        let settings: Vec<_> = known
            .iter()
            .filter(|setting| setting.is_of_credential_file())
            .map(|setting| format!("`{}`", setting.key))
            .collect();
        return Error::Credential { place, key, settings: settings.join(" or ") };
    }
    let advice = match nearest {
        Some(setting) => format!(" (did you mean `{}`?)", setting.key),
        None => "; docs/configuration.md lists the keys".to_owned(),
    };
    Error::Unknown { place, key, advice }
}

impl Place {
    fn at(file: &Path, content: &[u8], offset: usize) -> Self {
        let before = &content[..offset.min(content.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        Self { file: file.to_owned(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

#[cfg(test)]
mod tests;
