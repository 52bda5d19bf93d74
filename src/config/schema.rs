//! The JSON schema of the configuration file, for editors that know TOML.

use serde_json::{Map, Value, json};

use super::declaration::{Declaration, Kind};

/// Returns the schema of a file with these settings.
#[must_use]
pub fn schema(declarations: &[Declaration]) -> Value {
    let properties: Map<String, Value> = declarations
        .iter()
        .map(|setting| (setting.key.clone(), property(setting)))
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration file of polytomic-gateway",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn property(setting: &Declaration) -> Value {
    let mut property = match setting.kind {
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Duration => json!({
            "type": ["string", "number"],
            "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)?$",
            "minimum": 0,
        }),
        Kind::Size => json!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB)?$",
            "minimum": 1,
        }),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Text if setting.choices.is_empty() => json!({"type": "string"}),
        Kind::Text => json!({"enum": setting.choices}),
        Kind::List => json!({"type": ["string", "array"], "items": {"type": "string"}}),
    };
    property["description"] = json!(setting.description());
    if let Some(default) = &setting.default {
        property["default"] = match setting.kind {
            // Both are JSON, too.
            Kind::Switch | Kind::Number => {
                serde_json::from_str(default).unwrap_or(Value::Null)
            }
            _ => json!(default),
        };
    }
    property
}
