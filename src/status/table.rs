//! The judgement on every HTTP status, as data.
//!
//! The first row that names a status decides; the rows of whole classes come
//! last, so the table is total. "List" stands for RPCs that only read (GET),
//! "create" for those with an effect, which carry an idempotency key.

use http::StatusCode;
use tonic::Code::{
    Aborted, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, NotFound,
    OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable,
    Unimplemented, Unknown,
};

use super::{
    Reason,
    row::{
        Attach::{self, BadName, BadRequest, Help, Precondition, Quota, Resource, Retry},
        Body,
        Outcome::{Rejected, Unknown as InDoubt},
        Page,
        Repeat::{self, Any, Create, CreateOnce, Never},
        Row,
        When::{self, Each, Within},
        row,
    },
};

// A row a line, however long: the table is to be read down its columns.
#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // An interim answer as the final one.
    row(Each(&[101]),                               Internal,           Never,  InDoubt,  Reason::UpstreamProtocolError),
    row(Within(100, 199),                           Internal,           Any,    InDoubt,  Reason::UpstreamProtocolError),
    // Successes, and what only looks like one.
    success(Each(&[200]),                           CreateOnce, Body::Decode),
    success(Each(&[201, 203]),                      Never,      Body::Decode),
    success(Each(&[202]),                           Never,      Body::DecodeOfCreate),
    success(Each(&[204, 205]),                      Never,      Body::EmptyOfList),
    row(Within(200, 299),                           Internal,           Never,  InDoubt,  Reason::UpstreamUnexpectedStatus),
    // Redirects: never followed.
    row(Each(&[304]),                               Internal,           Never,  InDoubt,  Reason::UpstreamUnexpectedStatus),
    row(Within(300, 399),                           Internal,           Never,  InDoubt,  Reason::UpstreamRedirect),
    // Refusals.
    row(Each(&[400, 422]),                          InvalidArgument,    Never,  Rejected, Reason::UpstreamInvalidRequest)    .with(&[BadRequest, REFERENCE]),
    row(Each(&[401]),                               Unauthenticated,    Never,  Rejected, Reason::CallerCredentialsRejected) .with(&[REFERENCE]),
    row(Each(&[402]),                               FailedPrecondition, Never,  Rejected, Reason::UpstreamPaymentRequired),
    row(Each(&[403]),                               PermissionDenied,   Never,  Rejected, Reason::UpstreamForbidden)         .with(&[REFERENCE]),
    row(Each(&[404, 410]),                          NotFound,           Never,  Rejected, Reason::UpstreamNotFound)          .with(&[Resource, SHARING]),
    row(Each(&[405]),                               Unimplemented,      Never,  Rejected, Reason::UpstreamUnimplemented)     .with(&[REFERENCE]),
    row(Each(&[406, 411, 414, 415, 417, 431]),      Internal,           Never,  Rejected, Reason::GatewayRequestRefused),
    row(Each(&[407]),                               Internal,           Never,  Rejected, Reason::EgressProxyAuth),
    row(Each(&[408]),                               DeadlineExceeded,   Any,    InDoubt,  Reason::UpstreamTimeout),
    row(Each(&[409]),                               Aborted,            Create, InDoubt,  Reason::UpstreamConflict)          .with(&[Resource, IDEMPOTENCY]),
    row(Each(&[412, 423, 424, 428]),                FailedPrecondition, Never,  Rejected, Reason::UpstreamPreconditionFailed).with(&[Precondition]),
    row(Each(&[413]),                               InvalidArgument,    Never,  Rejected, Reason::UpstreamInvalidRequest)    .with(&[BadName, REFERENCE]),
    row(Each(&[416]),                               OutOfRange,         Never,  Rejected, Reason::UpstreamUnexpectedStatus),
    row(Each(&[420]),                               ResourceExhausted,  Never,  Rejected, Reason::UpstreamRateLimited)       .with(&[Quota]),
    row(Each(&[421, 425]),                          Unavailable,        Any,    Rejected, Reason::UpstreamNotProcessed),
    row(Each(&[426]),                               FailedPrecondition, Never,  Rejected, Reason::UpstreamUpgradeRequired)   .with(&[VERSIONING]),
    row(Each(&[429]),                               ResourceExhausted,  Any,    Rejected, Reason::UpstreamRateLimited)       .with(&[Quota, Retry]),
    row(Each(&[444, 460]),                          Unavailable,        Any,    InDoubt,  Reason::UpstreamReset),
    row(Each(&[451]),                               PermissionDenied,   Never,  Rejected, Reason::UpstreamRefused),
    row(Each(&[463, 464, 494, 495, 496, 497, 498]), Internal,           Any,    Rejected, Reason::GatewayRequestRefused),
    row(Each(&[499]),                               Unknown,            Any,    InDoubt,  Reason::UpstreamReset),
    row(Within(400, 499),                           FailedPrecondition, Never,  Rejected, Reason::UpstreamRefused),
    // Failures.
    // Its answer to a create is recorded, and replayed to a repeat with the same key.
    row(Each(&[500]),                               Internal,           Never,  InDoubt,  Reason::UpstreamError),
    row(Each(&[501]),                               Unimplemented,      Never,  Rejected, Reason::UpstreamUnimplemented)     .with(&[REFERENCE]),
    row(Each(&[502]),                               Unavailable,        Any,    InDoubt,  Reason::UpstreamUnavailable),
    // Proxies say so, too, of requests that they had passed on when they lost the server.
    row(Each(&[503]),                               Unavailable,        Any,    InDoubt,  Reason::UpstreamUnavailable)       .with(&[Retry]),
    row(Each(&[504, 522, 524, 598, 599]),           DeadlineExceeded,   Any,    InDoubt,  Reason::UpstreamTimeout),
    row(Each(&[507]),                               ResourceExhausted,  Never,  InDoubt,  Reason::UpstreamExhausted),
    row(Each(&[509, 529]),                          Unavailable,        Any,    InDoubt,  Reason::UpstreamOverloaded)        .with(&[Retry]),
    row(Each(&[511]),                               Internal,           Never,  Rejected, Reason::EgressProxyAuth),
    row(Each(&[520]),                               Unknown,            Any,    InDoubt,  Reason::UpstreamError),
    row(Each(&[521, 523, 525, 526, 527, 530]),      Unavailable,        Any,    Rejected, Reason::UpstreamUnavailable),
    row(Each(&[561]),                               Unauthenticated,    Never,  Rejected, Reason::UpstreamProxyAuth),
    row(Within(500, 599),                           Internal,           Never,  InDoubt,  Reason::UpstreamError),
];

/// A success, unless its body cannot be read: then a create may well exist.
const fn success(when: When, repeat: Repeat, body: Body) -> Row {
    row(when, Internal, repeat, InDoubt, Reason::UpstreamBadResponse)
        .on_create(Unknown, Reason::OutcomeUnknown)
        .body(body)
}

/// Statuses of no class, which the `http` crate lets pass.
pub(super) static NO_CLASS: Row =
    row(Within(600, u16::MAX), Unknown, Never, InDoubt, Reason::UpstreamUnexpectedStatus);

/// Where Polytomic explains its idempotency keys.
pub(super) const IDEMPOTENCY_PAGE: &str =
    "https://apidocs.polytomic.com/guides/idempotent-requests";

/// Where Polytomic documents all of its API.
pub(super) const REFERENCE_PAGE: &str = "https://apidocs.polytomic.com/";

const REFERENCE: Attach = Attach::Reference;
const SHARING: Attach = Help(Page {
    title: "which organization owns a shared connection",
    url: "https://apidocs.polytomic.com/guides/multitenancy",
});
const IDEMPOTENCY: Attach = Help(Page {
    title: "idempotency keys: repeat with the same key",
    url: IDEMPOTENCY_PAGE,
});
const VERSIONING: Attach = Help(Page {
    title: "versions of Polytomic's API",
    url: "https://apidocs.polytomic.com/guides/versioning",
});

/// What to do with an answer, by its status alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Decode the body: it is a success if that works.
    Decode,
    /// A success without a body: the empty response message.
    Empty,
    /// No success: make a [`ErrorResponse`](super::ErrorResponse) of it.
    Refused,
}

/// Returns the row that decides on a status.
pub(super) fn judge(status: u16) -> &'static Row {
    let decides = |row: &&Row| match row.when {
        When::Each(statuses) => statuses.contains(&status),
        When::Within(first, last) => (first..=last).contains(&status),
        When::Local(_) => false,
    };
    ROWS.iter().find(decides).unwrap_or(&NO_CLASS)
}

/// Says what to do with an answer: decode its body, or make a refusal of it.
///
/// An accepted list (202) and a create without content (204, 205) are refusals.
#[must_use]
pub fn answer(status: StatusCode, safe: bool) -> Answer {
    match (judge(status.as_u16()).body, safe) {
        (Body::Decode, _) | (Body::DecodeOfCreate, false) => Answer::Decode,
        (Body::EmptyOfList, true) => Answer::Empty,
        _ => Answer::Refused,
    }
}
