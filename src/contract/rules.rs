//! The constraints that a `.proto` file declares for a field.
//!
//! A rule that the gateway does not support is an error: clients that read the rule
//! would rely on a check that the gateway does not make.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::{extension, pattern::Pattern};

/// `google.api.FieldBehavior.REQUIRED`.
const REQUIRED: i32 = 2;

/// The declared constraints of a field.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whether the field must be set, and not to its empty value.
    pub required: bool,
    /// Whether a string must be a UUID in its 36-character form.
    pub uuid: bool,
    /// Minimum Unicode characters of a string.
    pub min_len: Option<u64>,
    /// Maximum Unicode characters of a string.
    pub max_len: Option<u64>,
    /// The pattern that a string must match.
    pub pattern: Option<Pattern>,
}

impl Rules {
    /// Reads the annotations of a field.
    ///
    /// # Errors
    ///
    /// If the gateway does not support a rule, or a pattern does not compile.
    pub(super) fn read(field: &FieldDescriptor) -> Result<Self, String> {
        let pool = field.parent_pool();
        let options = field.options();
        let mut rules = Self::default();

        if let Some(Value::List(behaviors)) =
            extension::get(pool, &options, "google.api.field_behavior")
        {
            rules.required =
                behaviors.iter().any(|value| value.as_enum_number() == Some(REQUIRED));
        }
        if let Some(Value::Message(declared)) =
            extension::get(pool, &options, "buf.validate.field")
        {
            for (kind, value) in declared.fields() {
                match (kind.name(), value) {
                    ("string", Value::Message(string)) => rules.read_string(string)?,
                    (name, _) => return Err(unsupported(name)),
                }
            }
        }
        Ok(rules)
    }

    fn read_string(&mut self, declared: &DynamicMessage) -> Result<(), String> {
        for (rule, value) in declared.fields() {
            match (rule.name(), value) {
                ("uuid", Value::Bool(uuid)) => self.uuid = *uuid,
                ("min_len", Value::U64(length)) => self.min_len = Some(*length),
                ("max_len", Value::U64(length)) => self.max_len = Some(*length),
                ("pattern", Value::String(pattern)) => {
                    let pattern = Pattern::compile(pattern).map_err(|problem| {
                        format!("has a pattern that does not compile: {problem}")
                    })?;
                    self.pattern = Some(pattern);
                }
                (name, _) => return Err(unsupported(&format!("string.{name}"))),
            }
        }
        Ok(())
    }

    /// Reports whether there is a rule that only strings can have.
    pub(super) fn are_for_strings(&self) -> bool {
        self.uuid
            || self.min_len.is_some()
            || self.max_len.is_some()
            || self.pattern.is_some()
    }
}

/// Returns the kind of resource that a field holds the id of, if the annotation
/// `google.api.resource_reference` states one.
pub(super) fn resource_type(field: &FieldDescriptor) -> Option<String> {
    const NAME: &str = "google.api.resource_reference";

    let reference = extension::get(field.parent_pool(), &field.options(), NAME)?;
    let kind = reference.as_message()?.get_field_by_name("type")?.as_str()?.to_owned();
    (!kind.is_empty()).then_some(kind)
}

fn unsupported(rule: &str) -> String {
    format!(
        "has the rule {rule}, which is not supported; use string.uuid, \
         string.min_len, string.max_len or string.pattern"
    )
}
