//! The `google.api.http` annotation of an RPC.
//!
//! A part of the annotation that the gateway does not support is an error:
//! ignoring the part would send another request than the `.proto` file states.

use http::Method;
use prost_reflect::{MethodDescriptor, Value};

use super::extension;

/// A `google.api.HttpRule`, reduced to what the gateway supports.
#[derive(Debug)]
pub(super) struct HttpRule {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
}

impl HttpRule {
    /// Reads the annotation.
    ///
    /// # Errors
    ///
    /// If the RPC has no annotation, or one with an unsupported part.
    pub(super) fn read(method: &MethodDescriptor) -> Result<Self, String> {
        let options = method.options();
        let Some(Value::Message(rule)) =
            extension::get(method.parent_pool(), &options, "google.api.http")
        else {
            return Err(
                "has no REST form; add `option (google.api.http) = {get: \"/api/…\"};`"
                    .to_owned(),
            );
        };

        let mut request_line = None;
        let mut body = String::new();
        for (field, value) in rule.fields() {
            match (field.name(), value) {
                ("get", Value::String(path)) => {
                    request_line = Some((Method::GET, path.clone()));
                }
                ("put", Value::String(path)) => {
                    request_line = Some((Method::PUT, path.clone()));
                }
                ("post", Value::String(path)) => {
                    request_line = Some((Method::POST, path.clone()));
                }
                ("delete", Value::String(path)) => {
                    request_line = Some((Method::DELETE, path.clone()));
                }
                ("patch", Value::String(path)) => {
                    request_line = Some((Method::PATCH, path.clone()));
                }
                ("body", Value::String(text)) => body.clone_from(text),
                (name, _) => {
                    return Err(format!(
                        "google.api.http.{name} is not supported; use one of get, put, \
                         post, delete and patch, and body"
                    ));
                }
            }
        }
        let Some((method, path)) = request_line else {
            return Err("google.api.http states no path; add one, for example \
                        `get: \"/api/…\"`"
                .to_owned());
        };
        Ok(Self { method, path, body })
    }
}
