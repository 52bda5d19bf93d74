//! Why a request message cannot become a REST request.

/// Why a request message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The bytes are not a message of the request type; states the problem.
    #[error("the request message is malformed: {0}")]
    Malformed(String),
    /// Fields or metadata violate their constraints: every violation, in the order
    /// of the fields.
    #[error("the request is invalid: {}", list(.0))]
    Invalid(Vec<Violation>),
}

/// One violated constraint of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field by its proto name, dotted when nested; `metadata.<key>` for metadata.
    pub field: String,
    /// What to send instead, as a clause that follows the field's name.
    pub description: String,
}

fn list(violations: &[Violation]) -> String {
    let clause = |violation: &Violation| {
        format!("`{}` {}", violation.field, violation.description)
    };
    let clauses: Vec<String> = violations.iter().map(clause).collect();
    clauses.join("; ")
}
