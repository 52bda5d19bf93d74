//! The gateway's own option, `polytomic.gateway.v1.rpc`: what a `.proto` file
//! states of an RPC beyond its REST form, so that no Rust code has to.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use super::{API_VERSIONS, extension};

const NAME: &str = "polytomic.gateway.v1.rpc";

/// Maximum bytes of a hint and of a title. The error message and its details
/// must fit into 8 KiB of trailers, with the words of the gateway and Polytomic.
const MAX_HINT: usize = 200;
const MAX_TITLE: usize = 100;

/// Maximum bytes of an address. The addresses of Polytomic's pages have about
/// 100.
const MAX_URL: usize = 256;

/// What the gateway needs to know of an RPC beyond its REST form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The class of key that Polytomic accepts for the call.
    pub key_class: KeyClass,
    /// The page that documents the REST call.
    pub reference: Option<Link>,
    /// What the client should check if Polytomic responds with 404 or 410.
    pub not_found: Option<NotFound>,
    /// The versions of Polytomic's API that have the call, newest first. Never empty.
    pub api_versions: Cow<'static, [&'static str]>,
}

/// A class of Polytomic key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyClass {
    /// Each class, as far as the `.proto` file states.
    Any,
    /// Partner keys only.
    Partner,
}

/// What the client should check if Polytomic does not find the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// Whole sentences for the error message.
    pub hint: String,
    /// A page that explains the hint.
    pub help: Option<Link>,
}

/// A page of documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What the page explains, as a clause.
    pub title: String,
    /// The address of the page. Starts with `https://`.
    pub url: String,
}

impl Options {
    /// The options of an RPC that declares none.
    pub const NONE: &'static Self = &Self {
        key_class: KeyClass::Any,
        reference: None,
        not_found: None,
        api_versions: Cow::Borrowed(&API_VERSIONS),
    };

    /// Reads the option of an RPC; an RPC without it has [`NONE`](Self::NONE).
    ///
    /// # Errors
    ///
    /// If the option has a field or a value that the gateway does not support, or
    /// text that an error detail cannot hold.
    pub(super) fn read(method: &MethodDescriptor) -> Result<Self, String> {
        let mut options = Self::NONE.clone();
        match extension::get(method.parent_pool(), &method.options(), NAME) {
            None => {}
            Some(Value::Message(declared)) => options
                .read_fields(&declared)
                .map_err(|problem| format!("has the option {NAME}, whose {problem}"))?,
            Some(_) => return Err(format!("has the option {NAME}, which is no message")),
        }
        Ok(options)
    }

    fn read_fields(&mut self, declared: &DynamicMessage) -> Result<(), String> {
        for (field, value) in declared.fields() {
            match (field.name(), value) {
                ("key_class", Value::EnumNumber(number)) => {
                    self.key_class = KeyClass::from_number(*number)?;
                }
                ("reference", Value::Message(link)) => {
                    self.reference = Some(Link::read(link, "reference")?);
                }
                ("not_found", Value::Message(not_found)) => {
                    self.not_found = Some(NotFound::read(not_found)?);
                }
                ("api_versions", Value::List(versions)) => {
                    self.api_versions = read_versions(versions)?.into();
                }
                (name, _) => return Err(unsupported(name)),
            }
        }
        Ok(())
    }
}

impl KeyClass {
    fn from_number(number: i32) -> Result<Self, String> {
        match number {
            0 | 1 => Ok(Self::Any),
            2 => Ok(Self::Partner),
            _ => Err(format!("key_class {number} is unknown")),
        }
    }
}

impl NotFound {
    fn read(declared: &DynamicMessage) -> Result<Self, String> {
        let (mut hint, mut help) = (String::new(), None);
        for (field, value) in declared.fields() {
            match (field.name(), value) {
                ("hint", Value::String(text)) => hint.clone_from(text),
                ("help", Value::Message(link)) => {
                    help = Some(Link::read(link, "not_found.help")?);
                }
                (name, _) => return Err(unsupported(&format!("not_found.{name}"))),
            }
        }
        check_text(&hint, "not_found.hint", MAX_HINT)?;
        if !hint.ends_with('.') {
            return Err("not_found.hint must end with a full stop".to_owned());
        }
        Ok(Self { hint, help })
    }
}

impl Link {
    fn read(declared: &DynamicMessage, path: &str) -> Result<Self, String> {
        let (mut title, mut url) = (String::new(), String::new());
        for (field, value) in declared.fields() {
            match (field.name(), value) {
                ("title", Value::String(text)) => title.clone_from(text),
                ("url", Value::String(text)) => url.clone_from(text),
                (name, _) => return Err(unsupported(&format!("{path}.{name}"))),
            }
        }
        check_text(&title, &format!("{path}.title"), MAX_TITLE)?;
        check_text(&url, &format!("{path}.url"), MAX_URL)?;
        let is_address = url
            .parse::<http::Uri>()
            .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some());
        if !is_address {
            return Err(format!("{path}.url must be an address with https://"));
        }
        Ok(Self { title, url })
    }
}

/// Reads a list of versions, in the order of [`API_VERSIONS`].
fn read_versions(declared: &[Value]) -> Result<Vec<&'static str>, String> {
    let mut places = Vec::with_capacity(declared.len());
    for version in declared.iter().filter_map(Value::as_str) {
        let known = API_VERSIONS.iter().position(|known| *known == version);
        let place = known.ok_or_else(|| {
            format!(
                "api_versions has `{version}`; the known versions are {}",
                API_VERSIONS.join(", ")
            )
        })?;
        if places.last().is_some_and(|newer| *newer >= place) {
            return Err(format!(
                "api_versions has `{version}` twice or before a newer version; list the \
                 newest first"
            ));
        }
        places.push(place);
    }
    Ok(places.into_iter().map(|place| API_VERSIONS[place]).collect())
}

/// Checks a text that becomes part of an error.
fn check_text(text: &str, field: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{field} is empty"));
    }
    if text.len() > limit || text.chars().any(char::is_control) {
        return Err(format!(
            "{field} must have at most {limit} bytes and no control characters"
        ));
    }
    Ok(())
}

fn unsupported(field: &str) -> String {
    format!("field {field} is not supported")
}
