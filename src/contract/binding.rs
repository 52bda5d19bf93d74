//! The REST form of an RPC: which request field goes where.
//!
//! Everything that the `.proto` file decides is decided here, at start-up. What
//! is left per request is to copy literals and to write the values of fields,
//! each known by its index among the top-level fields of the request.

use http::Method;
use percent_encoding::utf8_percent_encode;

use super::{
    http_rule::HttpRule,
    schema::{Field, Kind, Schema},
    template::{self, RESERVED, Segment},
};

/// How a request message becomes an HTTP request.
#[derive(Debug)]
pub struct Binding {
    /// The HTTP method.
    pub method: Method,
    /// The path template, as in the `.proto` file.
    pub template: String,
    /// The path. Starts with a literal that starts with `/`.
    pub path: Vec<Piece>,
    /// The query parameters, in the order of the fields.
    pub query: Vec<Parameter>,
    /// The body.
    pub body: Body,
}

/// A piece of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text for the URL, slashes included. Nothing in it needs an escape.
    Literal(String),
    /// The value of a field, by its index.
    Field(usize),
}

/// A query parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The index of the field.
    pub field: usize,
    /// The escaped key of the field and `=`.
    pub key: String,
}

/// The body of an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// No body. Fields that the path does not bind go into the query.
    None,
    /// A JSON object of the fields that the path does not bind, by their indices:
    /// `body: "*"`.
    Object(Vec<usize>),
    /// The value of one field, by its index. The others go into the query.
    Field(usize),
}

impl Binding {
    pub(super) fn compile(rule: HttpRule, request: &Schema) -> Result<Self, String> {
        let fields = &request.root().fields;
        let path = compile_path(&rule.path, fields)?;
        let unbound =
            (0..fields.len()).filter(|index| !path.contains(&Piece::Field(*index)));
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::Object(unbound.clone().collect()),
            name => {
                let index = find(fields, name)?;
                if path.contains(&Piece::Field(index)) {
                    return Err(format!(
                        "the field `{name}` is bound by the path and the body"
                    ));
                }
                Body::Field(index)
            }
        };
        if body != Body::None && [Method::GET, Method::DELETE].contains(&rule.method) {
            return Err(format!("a {} has no body; remove `body`", rule.method));
        }
        let query = match body {
            Body::Object(_) => Vec::new(),
            Body::None | Body::Field(_) => unbound
                .filter(|index| body != Body::Field(*index))
                .map(|index| Parameter::compile(index, &fields[index]))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { method: rule.method, template: rule.path, path, query, body })
    }

    /// Reports whether the call changes nothing upstream (RFC 9110 §9.2.1), so
    /// that a retry is harmless.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Reports whether the call may be retried: it changes nothing, or it is a
    /// POST, which carries an idempotency key. Polytomic documents keys for POST
    /// only.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.is_safe() || self.method == Method::POST
    }
}

impl Parameter {
    fn compile(index: usize, field: &Field) -> Result<Self, String> {
        if !field.kind.is_scalar() {
            return Err(format!(
                "the field `{}` is a message and cannot go into the query; give the RPC a \
                 `body`",
                field.name
            ));
        }
        let key = format!("{}=", utf8_percent_encode(&field.key, RESERVED));
        Ok(Self { field: index, key })
    }
}

/// Joins the literal segments between two variables into one piece.
fn compile_path(template: &str, fields: &[Field]) -> Result<Vec<Piece>, String> {
    let mut path = Vec::new();
    let mut literal = String::new();
    for segment in template::parse(template)? {
        literal.push('/');
        match segment {
            Segment::Literal(text) => literal.push_str(text),
            Segment::Variable(name) => {
                let index = find(fields, name)?;
                let field = &fields[index];
                if field.repeated || !field.kind.is_scalar() || field.kind == Kind::Bytes
                {
                    return Err(format!(
                        "the path variable `{{{name}}}` must be a single string, number \
                         or bool"
                    ));
                }
                if path.contains(&Piece::Field(index)) {
                    return Err(format!("the path binds `{{{name}}}` twice"));
                }
                path.push(Piece::Literal(std::mem::take(&mut literal)));
                path.push(Piece::Field(index));
            }
        }
    }
    if !literal.is_empty() {
        path.push(Piece::Literal(literal));
    }
    Ok(path)
}

fn find(fields: &[Field], name: &str) -> Result<usize, String> {
    fields.iter().position(|field| field.name == name).ok_or_else(|| {
        format!(
            "google.api.http names the field `{name}`, which the request does not have"
        )
    })
}
