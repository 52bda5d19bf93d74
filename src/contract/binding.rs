//! The REST form of an RPC: which request field goes where.

use std::fmt;

use http::Method;

use super::{
    annotations::HttpRule,
    schema::{Field, Kind, Schema},
    template::Template,
};

/// How a request message becomes an HTTP request.
#[derive(Debug)]
pub struct Binding {
    /// The HTTP method.
    pub method: Method,
    /// The path.
    pub template: Template,
    /// What is sent as the body.
    pub body: Body,
}

/// What an HTTP request has for a body. Fields that neither the path nor the
/// body takes go into the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// A JSON object of all fields that the path does not bind: `body: "*"`.
    Rest,
    /// The value of one field, by its name.
    Field(String),
}

impl Binding {
    pub(super) fn compile(rule: &HttpRule, request: &Schema) -> Result<Self, String> {
        let template = Template::parse(&rule.path)?;
        let mut bound: Vec<&str> = Vec::new();
        for name in template.variables() {
            let field = find(request, name)?;
            if field.repeated || !field.kind.is_scalar() || field.kind == Kind::Bytes {
                return Err(format!(
                    "the path variable `{{{name}}}` must be a single string, number or bool"
                ));
            }
            if bound.contains(&name) {
                return Err(format!("the path binds `{{{name}}}` twice"));
            }
            bound.push(name);
        }

        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::Rest,
            name => {
                find(request, name)?;
                if bound.contains(&name) {
                    return Err(format!(
                        "the field `{name}` is bound by the path and the body"
                    ));
                }
                Body::Field(name.to_owned())
            }
        };
        if body != Body::None && [Method::GET, Method::DELETE].contains(&rule.method) {
            return Err(format!("a {} has no body; remove `body`", rule.method));
        }

        let binding = Self { method: rule.method.clone(), template, body };
        let unfit = request.root().fields.iter().find(|field| {
            binding.place(&field.name) == Place::Query && !field.kind.is_scalar()
        });
        if let Some(field) = unfit {
            return Err(format!(
                "the field `{}` is a message and cannot go into the query; give the RPC a \
                 `body`",
                field.name
            ));
        }
        Ok(binding)
    }

    /// Returns where a top-level field of the request message goes.
    #[must_use]
    pub fn place(&self, field: &str) -> Place {
        if self.template.variables().any(|name| name == field) {
            return Place::Path;
        }
        match &self.body {
            Body::Rest => Place::Body,
            Body::Field(name) if name == field => Place::Body,
            Body::Field(_) | Body::None => Place::Query,
        }
    }

    /// Reports whether the call changes nothing upstream (RFC 9110 §9.2.1), so
    /// that repeating it is harmless.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Reports whether the call may be sent again: it changes nothing, or it is a
    /// POST, which carries an idempotency key. Polytomic documents keys for POST
    /// only.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.is_safe() || self.method == Method::POST
    }
}

/// A part of an HTTP request that a field can go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A segment of the path.
    Path,
    /// A parameter of the query.
    Query,
    /// The JSON body.
    Body,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match &self.body {
            Body::None => "-",
            Body::Rest => "*",
            Body::Field(name) => name,
        };
        write!(f, "{} {} body={body}", self.method, self.template)
    }
}

fn find<'a>(request: &'a Schema, name: &str) -> Result<&'a Field, String> {
    request.root().fields.iter().find(|field| field.name == name).ok_or_else(|| {
        format!(
            "google.api.http names the field `{name}`, which the request does not have"
        )
    })
}
