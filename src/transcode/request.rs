//! Request message → REST request.
//!
//! The binding states which field goes into the path, the query and the body. An
//! error reports each violation, not only the first, and no field of the message
//! is left out silently.

use std::sync::Arc;

use http::Method;
use percent_encoding::utf8_percent_encode;

use super::{
    body,
    check::{Checker, is_set},
    error::RequestError,
    wire::{Value, Values},
};
use crate::contract::{Body, Field, Piece, RESERVED, Rpc};

/// Bytes to allocate for each path variable: most are UUIDs.
const VARIABLE: usize = 36;

/// A REST request without its host and its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path, and the query if there is one. Starts with `/`.
    pub path_and_query: String,
    /// The JSON body, if the binding has one.
    pub body: Option<Vec<u8>>,
    /// The resource that the path names, if the `.proto` file states its kind.
    pub resource: Option<Resource>,
}

/// A resource at Polytomic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The kind of resource, for example `package.Kind`.
    pub kind: Arc<str>,
    /// Its id.
    pub name: String,
}

/// Translates the wire bytes of a request message.
///
/// # Errors
///
/// If the bytes are not a request message of the RPC, contain a field that it
/// does not have, or break a declared rule.
pub fn request(rpc: &Rpc, message: &[u8]) -> Result<RestRequest, RequestError> {
    let mut checker = Checker::new(&rpc.request);
    let values = checker.split(rpc.request.root(), message);
    let binding = &rpc.binding;
    let path_and_query = path_and_query(&mut checker, rpc, &values);
    let body = match &binding.body {
        Body::None => None,
        Body::Object(indices) => {
            let fields = &rpc.request.root().fields;
            let fields = indices.iter().map(|index| (&fields[*index], &values[*index]));
            let mut json = Vec::with_capacity(message.len());
            body::write_object(&mut checker, fields, &mut json);
            Some(json)
        }
        Body::Field(index) => {
            let field = &rpc.request.root().fields[*index];
            let mut json = Vec::with_capacity(message.len());
            if is_set(field, &values[*index]) {
                body::write_field(&mut checker, field, &values[*index], &mut json);
            } else {
                json.extend_from_slice(b"null");
            }
            Some(json)
        }
    };
    match checker.into_problems() {
        (Some(problem), _) => return Err(RequestError::Malformed(problem)),
        (None, violations) if !violations.is_empty() => {
            return Err(RequestError::Invalid(violations));
        }
        (None, _) => {}
    }
    let resource = rpc.resource.as_ref().map(|reference| Resource {
        kind: Arc::clone(&reference.kind),
        name: values[reference.field].last().map(Value::text).unwrap_or_default().into(),
    });
    Ok(RestRequest { method: binding.method.clone(), path_and_query, body, resource })
}

fn path_and_query(checker: &mut Checker<'_>, rpc: &Rpc, values: &[Values<'_>]) -> String {
    let fields = &rpc.request.root().fields;
    let length = rpc.binding.path.iter().map(|piece| match piece {
        Piece::Literal(text) => text.len(),
        Piece::Field(_) => VARIABLE,
    });
    let mut url = String::with_capacity(length.sum());
    for piece in &rpc.binding.path {
        match piece {
            Piece::Literal(text) => url.push_str(text),
            Piece::Field(index) => {
                let text = values[*index].last().map(Value::text).unwrap_or_default();
                // Empty segments and dot segments would change the path.
                if matches!(&*text, "" | "." | "..") {
                    checker.violation(
                        &fields[*index].name,
                        "is part of the path and must not be empty, `.` or `..`",
                    );
                }
                push_escaped(&mut url, &fields[*index], &text);
            }
        }
    }
    let mut separator = '?';
    for parameter in &rpc.binding.query {
        let (field, values) = (&fields[parameter.field], &values[parameter.field]);
        if !is_set(field, values) {
            continue;
        }
        for value in values.iter() {
            url.push(separator);
            url.push_str(&parameter.key);
            push_escaped(&mut url, field, &value.text());
            separator = '&';
        }
    }
    url
}

/// Appends the value of a field. A UUID needs no escape; if it is none, there is a
/// violation, and the request is not sent.
fn push_escaped(url: &mut String, field: &Field, text: &str) {
    if field.rules.uuid {
        url.push_str(text);
    } else {
        url.extend(utf8_percent_encode(text, RESERVED));
    }
}

#[cfg(test)]
mod tests;
