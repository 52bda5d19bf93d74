//! Prints the tables for the documentation, so that it cannot drift from them.

use std::fmt::{self, Write as _};

use http::StatusCode;
use tonic::Code;

use super::{
    Failure, Outcome,
    row::{Attach, Body, RetryRule, Row, When},
    table::{HTTP, row_of, row_of_status},
    tests::{error_response, local_failures},
};

/// Prints both tables as Markdown; `outcome` is what becomes of a create.
pub(crate) fn tables(outcome: impl Fn(&Failure) -> Outcome) -> String {
    let with_status = HTTP.iter().map(|row| {
        let mut outcomes =
            statuses_of(row).map(|status| outcome(&error_response(status)));
        let first = outcomes.next().expect("every row has a status");
        assert!(outcomes.all(|other| other == first), "{row:?} has several outcomes");
        (row, first)
    });
    let local =
        local_failures().into_iter().map(|failure| (row_of(&failure), outcome(&failure)));

    let mut page = String::new();
    print(&mut page, "Polytomic's status", with_status);
    page.push('\n');
    print(&mut page, "Failure", local);
    page
}

/// Returns the statuses that a row decides on.
fn statuses_of(row: &'static Row) -> impl Iterator<Item = u16> {
    (100..1000).filter(move |status| {
        let status = StatusCode::from_u16(*status).expect("three digits");
        std::ptr::eq(row_of_status(status), row)
    })
}

fn print(
    page: &mut String,
    first: &str,
    rows: impl Iterator<Item = (&'static Row, Outcome)>,
) {
    let head =
        [first, "code", "reason", "gateway retries", "outcome of a create", "details"];
    let rule = head.map(|_| "---");
    let lines = [head.map(str::to_owned), rule.map(str::to_owned)]
        .into_iter()
        .chain(rows.map(|(row, outcome)| cells(row, outcome)));
    for line in lines {
        writeln!(page, "| {} |", line.join(" | ")).expect("a String accepts all text");
    }
}

fn cells(row: &'static Row, outcome: Outcome) -> [String; 6] {
    let (read, write) = (row.read, row.write);
    let pair = |read: &str, write: &str| {
        if read == write { read.to_owned() } else { format!("{read} (create: {write})") }
    };
    let codes = pair(code_name(read.0), code_name(write.0));
    let code = match row.body {
        Body::Error => codes,
        Body::Decode => format!("OK if the body is valid, else {codes}"),
        Body::DecodeOfWrite => {
            format!(
                "{} (create: OK if the body is valid, else {})",
                code_name(read.0),
                code_name(write.0)
            )
        }
        Body::EmptyOfRead => {
            format!("OK and empty (create: {})", code_name(write.0))
        }
    };
    let reason = match row.body {
        Body::EmptyOfRead => format!("`{}`", write.1),
        _ => pair(&format!("`{}`", read.1), &format!("`{}`", write.1)),
    };
    let retries = match row.retry {
        RetryRule::Never => "no",
        RetryRule::Any => "yes",
        RetryRule::Write => "create",
        RetryRule::WriteOnce => "create, once",
        RetryRule::Client => "no, the client may",
    };
    let details: Vec<&str> = row.attach.iter().map(|attach| attach.name()).collect();
    [
        row.when.to_string(),
        code,
        reason,
        retries.to_owned(),
        format!("`{}`", outcome.as_str()),
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
const fn code_name(code: Code) -> &'static str {
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

impl Attach {
    /// Returns the name of the detail's message type.
    const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Retry => "RetryInfo",
            Self::Resource => "ResourceInfo",
            Self::Quota => "QuotaFailure",
            Self::Precondition => "PreconditionFailure",
            Self::Reference | Self::Hint | Self::Help(_) => "Help",
        }
    }
}
