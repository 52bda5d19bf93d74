//! Prints the tables for the documentation, so that it cannot drift from them.

use std::fmt::{self, Write as _};

use tonic::Code;

use super::{
    local,
    row::{Body, Repeat, Row, When},
    table,
};

/// Prints both tables as Markdown, for the documentation.
#[must_use]
pub fn table_markdown() -> String {
    let mut page = String::new();
    print(&mut page, "Polytomic answers", table::ROWS.iter().chain([&table::NO_CLASS]));
    page.push('\n');
    print(&mut page, "What happens", local::ALL.iter().copied());
    page
}

fn print(page: &mut String, first: &str, rows: impl Iterator<Item = &'static Row>) {
    let head =
        [first, "code", "reason", "gateway repeats", "outcome of a create", "details"];
    let rule = head.map(|_| "---");
    let lines = [head.map(str::to_owned), rule.map(str::to_owned)]
        .into_iter()
        .chain(rows.map(cells));
    for line in lines {
        writeln!(page, "| {} |", line.join(" | "))
            .expect("a String takes all that is written");
    }
}

fn cells(row: &'static Row) -> [String; 6] {
    let (list, create) = (row.list, row.create);
    let pair = |list: &str, create: &str| {
        if list == create {
            list.to_owned()
        } else {
            format!("{list} (create: {create})")
        }
    };
    let codes = pair(code_name(list.0), code_name(create.0));
    let code = match row.body {
        Body::Refuse => codes,
        Body::Decode => format!("OK if the body is valid, else {codes}"),
        Body::DecodeOfCreate => {
            format!(
                "{} (create: OK if the body is valid, else {})",
                code_name(list.0),
                code_name(create.0)
            )
        }
        Body::EmptyOfList => {
            format!("OK and empty (create: {})", code_name(create.0))
        }
    };
    let reason = match row.body {
        Body::EmptyOfList => format!("`{}`", create.1),
        _ => pair(&format!("`{}`", list.1), &format!("`{}`", create.1)),
    };
    let repeats = match row.repeat {
        Repeat::Never => "no",
        Repeat::Any => "yes",
        Repeat::Create => "create",
        Repeat::CreateOnce => "create, once",
        Repeat::Caller => "no, the caller may",
    };
    let details: Vec<&str> = row.attach.iter().map(|attach| attach.name()).collect();
    [
        row.when.to_string(),
        code,
        reason,
        repeats.to_owned(),
        format!("`{}`", row.outcome.as_str()),
        details.join(", "),
    ]
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Local(what) => f.write_str(what),
            Self::Within(600, _) => f.write_str("anything else"),
            Self::Within(first, last) => write!(f, "other {first}–{last}"),
            Self::Each(statuses) => {
                let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
                f.write_str(&statuses.join(", "))
            }
        }
    }
}

/// Returns a code's name as `google.rpc.Code` spells it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
