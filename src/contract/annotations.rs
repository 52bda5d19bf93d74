//! The options of the `.proto` files that mean something here.
//!
//! They are extensions, which generated code would drop, so they are read
//! through reflection. An option that is not understood is an error: a rule
//! that is silently left out is worse than one that is missing.

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, Value,
};
use regex::Regex;

use super::schema::Rules;

/// `google.api.FieldBehavior.REQUIRED`.
const REQUIRED: i32 = 2;

/// A `google.api.HttpRule`, reduced to what is understood.
#[derive(Debug)]
pub(super) struct HttpRule {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) body: String,
}

/// Reads the `google.api.http` annotation of an RPC.
pub(super) fn http_rule(method: &MethodDescriptor) -> Result<HttpRule, String> {
    let Some(Value::Message(rule)) =
        extension(method.parent_pool(), &method.options(), "google.api.http")
    else {
        return Err(
            "has no REST form; add `option (google.api.http) = {get: \"/api/…\"};`"
                .to_owned(),
        );
    };

    let mut verb = None;
    let mut body = String::new();
    for (field, value) in rule.fields() {
        match (field.name(), value) {
            (
                name @ ("get" | "put" | "post" | "delete" | "patch"),
                Value::String(path),
            ) => {
                verb = Some((name.to_uppercase(), path.clone()));
            }
            ("body", Value::String(text)) => body.clone_from(text),
            (name, _) => {
                return Err(format!(
                    "google.api.http.{name} is not supported; use one of get, put, post, \
                     delete and patch, and body"
                ));
            }
        }
    }
    let Some((verb, path)) = verb else {
        return Err("google.api.http states no path; add one, for example \
                    `get: \"/api/…\"`"
            .to_owned());
    };
    let method = http::Method::from_bytes(verb.as_bytes())
        .map_err(|_| format!("{verb} is no HTTP method"))?;
    Ok(HttpRule { method, path, body })
}

/// Returns the first link in the comment on an RPC.
pub(super) fn page(method: &MethodDescriptor) -> Option<String> {
    let file = method.parent_file();
    let file = file.file_descriptor_proto();
    let locations = &file.source_code_info.as_ref()?.location;
    let location = locations.iter().find(|location| location.path == method.path())?;
    let words = location.leading_comments().split_whitespace();
    words.filter(|word| word.starts_with("https://")).map(str::to_owned).next()
}

/// Reads the declared constraints of a field.
pub(super) fn rules(field: &FieldDescriptor) -> Result<Rules, String> {
    let pool = field.parent_pool();
    let options = field.options();
    let mut rules = Rules::default();

    if let Some(Value::List(behaviors)) =
        extension(pool, &options, "google.api.field_behavior")
    {
        rules.required =
            behaviors.iter().any(|value| value.as_enum_number() == Some(REQUIRED));
    }
    if let Some(Value::Message(reference)) =
        extension(pool, &options, "google.api.resource_reference")
    {
        rules.resource = reference
            .get_field_by_name("type")
            .and_then(|kind| kind.as_str().map(str::to_owned))
            .filter(|kind| !kind.is_empty());
    }
    if let Some(Value::Message(declared)) =
        extension(pool, &options, "buf.validate.field")
    {
        for (kind, value) in declared.fields() {
            match (kind.name(), value) {
                ("string", Value::Message(string)) => {
                    string_rules(field, string, &mut rules)?;
                }
                (name, _) => return Err(unsupported(field, name)),
            }
        }
    }
    Ok(rules)
}

fn string_rules(
    field: &FieldDescriptor,
    declared: &DynamicMessage,
    rules: &mut Rules,
) -> Result<(), String> {
    for (rule, value) in declared.fields() {
        match (rule.name(), value) {
            ("uuid", Value::Bool(uuid)) => rules.uuid = *uuid,
            ("min_len", Value::U64(length)) => rules.min_len = Some(*length),
            ("max_len", Value::U64(length)) => rules.max_len = Some(*length),
            ("pattern", Value::String(pattern)) => {
                let regex = Regex::new(pattern).map_err(|error| {
                    format!(
                        "the pattern of field {} does not compile: {error}",
                        field.name()
                    )
                })?;
                rules.pattern = Some(regex);
            }
            (name, _) => return Err(unsupported(field, &format!("string.{name}"))),
        }
    }
    Ok(())
}

fn unsupported(field: &FieldDescriptor, rule: &str) -> String {
    format!(
        "field {} has the rule {rule}, which is not supported; use string.uuid, \
         string.min_len, string.max_len or string.pattern",
        field.name()
    )
}

fn extension(
    pool: &DescriptorPool,
    options: &DynamicMessage,
    name: &str,
) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).into_owned())
}
