//! The texts of an error response, cleaned, short and without secrets.

use uuid::Uuid;

use super::{Redact, Sketch, text};
use crate::transcode::Violation;

/// Bytes of Polytomic's message that are kept.
const MESSAGE: usize = 1024;

/// Bytes of all metadata that is passed on, names included.
const EXTRAS: usize = 384;

/// Bytes of one value of that metadata.
const EXTRA: usize = 96;

/// Bytes of the list of what uses the resource.
const USED_BY: usize = 224;

/// Entries of that list that are kept.
const USERS: usize = 8;

/// Invalid fields that are kept.
const FIELDS: usize = 8;

/// Bytes of the name of a field.
const FIELD: usize = 64;

/// Polytomic's metadata that is passed on, in addition to the UUIDs of resources.
///
/// The rest is arbitrary JSON and may hold anything, secrets included.
const ALLOWED: &[&str] = &[
    "reason",
    "code",
    "field",
    "param",
    "limit",
    "version",
    "type",
    "resource",
    "resource_type",
    "resource_id",
];

/// How the names of resources' IDs end. Their values are passed on if they are UUIDs.
const ID: &str = "_id";

/// Bytes of such a name.
const ID_NAME: usize = 32;

/// The texts of a response, without secrets. A secret is removed before a text is cut,
/// and before it loses characters that stand within the secret.
pub(super) struct Texts<'a>(pub(super) Redact<'a>);

impl Texts<'_> {
    fn redact(&self, raw: &str, limit: usize) -> String {
        // Escapes of a secret are longer than what replaces it.
        (self.0)(&text::printable(text::prefix(raw, 4 * limit + 64)))
    }

    fn clean(&self, raw: &str, limit: usize) -> Option<String> {
        let text = text::clean(&self.redact(raw, limit), limit);
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn identifier(&self, raw: &str, limit: usize) -> Option<String> {
        // A name may be a link or a secret, too, which it would not look like later.
        let text = text::identifier(&self.clean(raw, limit)?, limit);
        // Nor does it hold the key once it has lost what stood between its characters.
        let text = text::identifier(&(self.0)(&text), limit);
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn message(&self, raw: &str) -> Option<String> {
        self.clean(raw, MESSAGE).filter(|message| !message.starts_with('<'))
    }

    /// Joins the texts of a list of errors: strings, or objects with a text.
    pub(super) fn errors(&self, errors: &Sketch) -> Option<String> {
        let text = |error: &Sketch| {
            let named =
                ["message", "detail"].into_iter().find_map(|name| error.get(name));
            self.message(named.unwrap_or(error).text()?)
        };
        let texts: Vec<String> = match errors {
            Sketch::Array(items) => items.iter().filter_map(text).collect(),
            Sketch::Object(members) => members
                .iter()
                .filter_map(|(name, why)| {
                    let why = self.message(why.text().or_else(|| first_text(why))?)?;
                    Some(format!("{}: {why}", self.identifier(name, FIELD)?))
                })
                .collect(),
            _ => Vec::new(),
        };
        self.message(&texts.join("; "))
    }

    pub(super) fn extras(&self, metadata: &[&Sketch]) -> Vec<(String, String)> {
        let used_by = find(metadata, "used_by").and_then(|users| self.used_by(users));
        let used_by = used_by.map(|users| ("used_by", users));
        let scalars = ALLOWED.iter().filter_map(|name| {
            let value = self.clean(find(metadata, name)?.scalar()?, EXTRA)?;
            Some((*name, value))
        });
        let members = metadata.iter().flat_map(|object| object.members());
        let ids = members.filter_map(|member| self.id(member));
        let mut room = EXTRAS;
        let fits = |(name, value): &(String, String)| {
            let rest = room.checked_sub(name.len() + value.len());
            room = rest.unwrap_or(room);
            rest.is_some()
        };
        used_by
            .into_iter()
            .chain(scalars)
            .chain(ids)
            .map(|(name, value)| (shown(name), value))
            .filter(fits)
            .collect()
    }

    /// Returns a member that is the ID of a resource: `{"<resource>_id": "<UUID>"}`.
    fn id<'a>(&self, (name, value): &'a (String, Sketch)) -> Option<(&'a str, String)> {
        let is_name = |c: u8| c.is_ascii_lowercase() || c == b'_';
        let is_id = name.len() <= ID_NAME
            && name.ends_with(ID)
            && name.bytes().all(is_name)
            && !ALLOWED.contains(&name.as_str());
        let value = value.text().filter(|_| is_id)?;
        // A key may be a UUID, too.
        let id = Uuid::try_parse(&self.redact(value, EXTRA)).ok()?;
        Some((name.as_str(), id.to_string()))
    }

    /// Lists what uses the resource: `model Orders (<id>); ..`.
    fn used_by(&self, users: &Sketch) -> Option<String> {
        let Sketch::Array(users) = users else { return None };
        let describe = |user: &Sketch| {
            let part = |name| user.get(name).and_then(Sketch::scalar).unwrap_or_default();
            format!("{} {} ({})", part("type"), part("name"), part("id"))
        };
        let mut list: Vec<String> = users.iter().take(USERS).map(describe).collect();
        if users.len() > USERS {
            list.push("and more".to_owned());
        }
        self.clean(&list.join("; "), USED_BY)
    }

    /// Reads which fields are invalid: `{"field": ..}`, or `fields` or `errors` as a
    /// list of names, a list of objects, or an object from name to text.
    pub(super) fn fields(&self, metadata: &[&Sketch]) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some(name) = find(metadata, "field").and_then(Sketch::text) {
            found.extend(self.violation(name, None));
        }
        for list in ["fields", "errors"].iter().filter_map(|name| find(metadata, name)) {
            match list {
                Sketch::Object(members) => {
                    found.extend(members.iter().filter_map(|(name, why)| {
                        self.violation(name, why.text().or_else(|| first_text(why)))
                    }));
                }
                Sketch::Array(items) => found.extend(items.iter().filter_map(|item| {
                    let name =
                        item.get("field").or_else(|| item.get("name")).unwrap_or(item);
                    let why = item.get("message").and_then(Sketch::text);
                    self.violation(name.text()?, why)
                })),
                _ => {}
            }
        }
        found.truncate(FIELDS);
        found
    }

    fn violation(&self, field: &str, why: Option<&str>) -> Option<Violation> {
        let field = self.identifier(field, FIELD)?;
        let description = why.and_then(|why| self.message(why));
        let description =
            description.unwrap_or_else(|| "was rejected by Polytomic".to_owned());
        let is_name = field.starts_with(|c: char| c.is_ascii_alphabetic());
        is_name.then_some(Violation { field, description })
    }
}

fn find<'a>(metadata: &[&'a Sketch], name: &str) -> Option<&'a Sketch> {
    metadata.iter().find_map(|object| object.get(name))
}

fn first_text(list: &Sketch) -> Option<&str> {
    let Sketch::Array(items) = list else { return None };
    items.iter().find_map(Sketch::text)
}

/// Returns the name of Polytomic's metadata in `ErrorInfo`: `a_b` as `upstreamAB`.
fn shown(name: &str) -> String {
    let words = name.split('_').flat_map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters)
    });
    "upstream".chars().chain(words).collect()
}
