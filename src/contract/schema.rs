//! Message types, reduced to what transcoding reads.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, MessageDescriptor, Syntax};
use regex::Regex;

use super::annotations;

/// The greatest number of fields of a message. The reader of answers keeps a
/// bit for each.
const MAX_FIELDS: usize = 64;

/// A message type and every message type within it.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<Message>,
}

/// The fields of a message type.
#[derive(Debug)]
pub struct Message {
    /// The full name of the type.
    pub name: String,
    /// The fields in the order of their declaration.
    pub fields: Vec<Field>,
    /// A bit for each field that must be set, the first field's the lowest.
    pub required: u64,
}

/// A field of a message type.
#[derive(Debug)]
pub struct Field {
    /// The name in the `.proto` file.
    pub name: String,
    /// The key in Polytomic's JSON: the `json_name` if the `.proto` file gives
    /// one, else the name.
    pub key: String,
    /// The key as compact JSON has it before a value: in quotes, with a colon.
    pub literal: String,
    /// The number on the wire.
    pub number: u32,
    /// The type of the field, or of its elements.
    pub kind: Kind,
    /// Whether the field is a list.
    pub repeated: bool,
    /// Whether a list of numbers or bools is packed on the wire.
    pub packed: bool,
    /// Whether an unset field and one with the default value differ.
    pub presence: bool,
    /// The declared constraints.
    pub rules: Rules,
}

/// The type of a field. The scalars are named as in `.proto` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of protobuf's scalar types")]
pub enum Kind {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint32,
    Fixed32,
    Uint64,
    Fixed64,
    Float,
    Double,
    String,
    Bytes,
    /// A message, by its place in the schema.
    Message(usize),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Struct`.
    Struct,
    /// `google.protobuf.Value`.
    Value,
    /// `google.protobuf.ListValue`.
    ListValue,
}

/// The constraints that the `.proto` file declares for a field.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whether the field must be set, and not to its empty value.
    pub required: bool,
    /// Whether a string must be a UUID in its 36-character form.
    pub uuid: bool,
    /// The least number of Unicode characters of a string.
    pub min_len: Option<u64>,
    /// The greatest number of Unicode characters of a string.
    pub max_len: Option<u64>,
    /// What a string must match.
    pub pattern: Option<Regex>,
    /// The kind of thing at Polytomic that the field is the id of.
    pub resource: Option<String>,
}

impl Schema {
    pub(super) fn compile(root: &MessageDescriptor) -> Result<Self, String> {
        let mut compiler = Compiler::default();
        compiler.place(root);
        let mut messages = Vec::new();
        while let Some(message) = compiler.queue.get(messages.len()).cloned() {
            messages.push(compiler.message(&message)?);
        }
        Ok(Self { messages })
    }

    /// Returns the message type that the schema is of.
    #[must_use]
    pub fn root(&self) -> &Message {
        &self.messages[0]
    }

    /// Returns the message type of a [`Kind::Message`].
    ///
    /// # Panics
    ///
    /// If the place is not one of this schema.
    #[must_use]
    pub fn message(&self, place: usize) -> &Message {
        &self.messages[place]
    }
}

impl Kind {
    /// Reports whether the type is a scalar: neither a message nor one of the
    /// well-known types.
    #[must_use]
    pub fn is_scalar(self) -> bool {
        !matches!(
            self,
            Self::Message(_)
                | Self::Timestamp
                | Self::Struct
                | Self::Value
                | Self::ListValue
        )
    }
}

/// Gives each message type its place, so that types may contain one another.
#[derive(Default)]
struct Compiler {
    places: HashMap<String, usize>,
    queue: Vec<MessageDescriptor>,
}

impl Compiler {
    fn place(&mut self, message: &MessageDescriptor) -> usize {
        let next = self.queue.len();
        let place = *self.places.entry(message.full_name().to_owned()).or_insert(next);
        if place == next {
            self.queue.push(message.clone());
        }
        place
    }

    fn message(&mut self, message: &MessageDescriptor) -> Result<Message, String> {
        let name = message.full_name().to_owned();
        let fields = message
            .fields()
            .map(|field| {
                self.field(&field)
                    .map_err(|problem| format!("field {} {problem}", field.full_name()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if fields.len() > MAX_FIELDS {
            return Err(format!("{name} has more than {MAX_FIELDS} fields"));
        }
        for (index, field) in fields.iter().enumerate() {
            if fields[..index].iter().any(|other| other.key == field.key) {
                return Err(format!(
                    "{name} has two fields with the key `{}`",
                    field.key
                ));
            }
        }
        let required = fields
            .iter()
            .rev()
            .fold(0, |bits, field| bits << 1 | u64::from(field.rules.required));
        Ok(Message { name, fields, required })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<Field, String> {
        let kind = self.kind(field)?;
        let rules = annotations::rules(field)?;
        let strings_only =
            rules.uuid || rules.min_len.is_some() || rules.max_len.is_some();
        if (strings_only || rules.pattern.is_some())
            && (kind != Kind::String || field.is_list())
        {
            return Err("has rules for a string and is none; remove them".to_owned());
        }
        let key = key(field);
        Ok(Field {
            name: field.name().to_owned(),
            literal: format!("{}:", serde_json::Value::from(key.as_str())),
            key,
            number: field.number(),
            kind,
            repeated: field.is_list(),
            packed: field.is_packed(),
            presence: field.supports_presence(),
            rules,
        })
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Result<Kind, String> {
        if field.is_map() {
            return Err(
                "is a map, which is not supported; use google.protobuf.Struct".into()
            );
        }
        if field.is_group() || field.parent_file().syntax() == Syntax::Proto2 {
            return Err("is of proto2, which is not supported; use proto3".to_owned());
        }
        Ok(match field.kind() {
            prost_reflect::Kind::Bool => Kind::Bool,
            prost_reflect::Kind::Int32 => Kind::Int32,
            prost_reflect::Kind::Sint32 => Kind::Sint32,
            prost_reflect::Kind::Sfixed32 => Kind::Sfixed32,
            prost_reflect::Kind::Int64 => Kind::Int64,
            prost_reflect::Kind::Sint64 => Kind::Sint64,
            prost_reflect::Kind::Sfixed64 => Kind::Sfixed64,
            prost_reflect::Kind::Uint32 => Kind::Uint32,
            prost_reflect::Kind::Fixed32 => Kind::Fixed32,
            prost_reflect::Kind::Uint64 => Kind::Uint64,
            prost_reflect::Kind::Fixed64 => Kind::Fixed64,
            prost_reflect::Kind::Float => Kind::Float,
            prost_reflect::Kind::Double => Kind::Double,
            prost_reflect::Kind::String => Kind::String,
            prost_reflect::Kind::Bytes => Kind::Bytes,
            prost_reflect::Kind::Enum(_) => {
                return Err(
                    "is an enum, which is not supported; use string, since Polytomic \
                            adds values"
                        .to_owned(),
                );
            }
            prost_reflect::Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => Kind::Timestamp,
                "google.protobuf.Struct" => Kind::Struct,
                "google.protobuf.Value" => Kind::Value,
                "google.protobuf.ListValue" => Kind::ListValue,
                name if name.starts_with("google.protobuf.") => {
                    return Err(format!("is a {name}, which is not supported"));
                }
                _ => Kind::Message(self.place(&message)),
            },
        })
    }
}

/// Returns the key of a field in Polytomic's JSON.
///
/// Compilers fill in a `json_name` where the file gives none, in camel case,
/// which Polytomic does not use. One that differs from that form was given. One
/// that equals it was given if the source information has a place for it.
fn key(field: &FieldDescriptor) -> String {
    const JSON_NAME: i32 = 10;

    let place: Vec<i32> = field.path().iter().copied().chain([JSON_NAME]).collect();
    let file = field.parent_file();
    let stated = file
        .file_descriptor_proto()
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .any(|location| location.path == place);
    if stated || field.json_name() != camel_case(field.name()) {
        field.json_name().to_owned()
    } else {
        field.name().to_owned()
    }
}

fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        if character == '_' {
            upper = true;
        } else if upper {
            camel.push(character.to_ascii_uppercase());
            upper = false;
        } else {
            camel.push(character);
        }
    }
    camel
}
