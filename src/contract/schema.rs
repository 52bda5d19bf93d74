//! Message types, reduced to what `transcode` reads.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, MessageDescriptor, Syntax};

use super::rules::{self, Rules};

/// Maximum fields of a message: `transcode` keeps a bit for each.
const MAX_FIELDS: usize = 64;

/// A message type and each message type that it contains.
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
    /// A bit for each required field; the lowest is the first field's.
    pub required: u64,
}

/// A field of a message type.
#[derive(Debug)]
pub struct Field {
    /// The name in the `.proto` file.
    pub name: String,
    /// The key in Polytomic's JSON: the `json_name` if the `.proto` file states
    /// one, else the name.
    pub key: String,
    /// The key as it precedes a value in compact JSON: escaped, in quotes, with a
    /// colon.
    pub literal: String,
    /// The number on the wire.
    pub number: u32,
    /// The type of the field, or of its elements.
    pub kind: Kind,
    /// Whether the field is a list.
    pub repeated: bool,
    /// Whether a list of numbers or bools is packed on the wire.
    pub packed: bool,
    /// Whether an unset field differs from one with the default value.
    pub presence: bool,
    /// The declared constraints.
    pub rules: Rules,
    /// The kind of resource that the field holds the id of, if declared.
    pub resource: Option<String>,
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
    /// A message, by its index in the schema.
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

impl Schema {
    pub(super) fn compile(root: &MessageDescriptor) -> Result<Self, String> {
        let mut compiler = Compiler::default();
        compiler.index(root);
        let mut messages = Vec::new();
        while let Some(message) = compiler.queue.get(messages.len()).cloned() {
            messages.push(compiler.message(&message)?);
        }
        Ok(Self { messages })
    }

    /// Returns the message type that the schema describes.
    #[must_use]
    pub fn root(&self) -> &Message {
        &self.messages[0]
    }

    /// Returns the schema with its first field as a list.
    pub(super) fn with_list(mut self) -> Self {
        self.messages[0].fields[0].repeated = true;
        self
    }

    /// Reports whether a message has a field of the type that the schema describes.
    pub(super) fn contains_root(&self) -> bool {
        let mut fields = self.messages.iter().flat_map(|message| &message.fields);
        fields.any(|field| field.kind == Kind::Message(0))
    }

    /// Returns the message type of a [`Kind::Message`].
    ///
    /// # Panics
    ///
    /// If the index is not from this schema.
    #[must_use]
    pub fn message(&self, index: usize) -> &Message {
        &self.messages[index]
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

/// Assigns an index to each message type before it compiles the fields, so that
/// types may contain one another.
#[derive(Default)]
struct Compiler {
    indices: HashMap<String, usize>,
    queue: Vec<MessageDescriptor>,
}

impl Compiler {
    fn index(&mut self, message: &MessageDescriptor) -> usize {
        let next = self.queue.len();
        let index = *self.indices.entry(message.full_name().to_owned()).or_insert(next);
        if index == next {
            self.queue.push(message.clone());
        }
        index
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
        let rules = Rules::read(field)?;
        if rules.are_for_strings() && (kind != Kind::String || field.is_list()) {
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
            resource: rules::resource_type(field),
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
                _ => Kind::Message(self.index(&message)),
            },
        })
    }
}

/// Returns the key of a field in Polytomic's JSON.
///
/// Compilers fill in a `json_name` in camel case where the file states none, but
/// Polytomic's keys are in snake case. A `json_name` of another form was stated by
/// the file; one in camel case was if the source information locates it.
fn key(field: &FieldDescriptor) -> String {
    const JSON_NAME: i32 = 10;

    let location: Vec<i32> = field.path().iter().copied().chain([JSON_NAME]).collect();
    let file = field.parent_file();
    let stated = file
        .file_descriptor_proto()
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .any(|entry| entry.path == location);
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
