//! The judgement on failures that have no HTTP status, as data.

use tonic::Code::{
    Cancelled, DeadlineExceeded, Internal, InvalidArgument, PermissionDenied,
    ResourceExhausted, Unauthenticated, Unavailable, Unimplemented, Unknown,
};

use super::{
    Reason,
    row::{
        Attach::{BadRequest, Retry},
        Outcome,
        Repeat::{Any, Caller, CreateOnce, Never},
        Row,
        When::Local,
    },
};

/// Every row, in the order of `Failure`.
pub(super) static ALL: &[&Row] = &[
    &CREDENTIALS_MISSING,
    &CREDENTIALS_MALFORMED,
    &CREDENTIALS_REJECTED,
    &NOT_PARTNER_KEY,
    &INVALID_FIELDS,
    &INVALID_MESSAGE,
    &REQUEST_TOO_LARGE,
    &UNKNOWN_RPC,
    &DEADLINE_EXCEEDED,
    &CANCELLED,
    &OVERLOADED,
    &RATE_LIMITED,
    &CIRCUIT_OPEN,
    &DRAINING,
    &PANIC,
    &BAD_RESPONSE,
    &RESPONSE_TOO_LARGE,
    &CONNECT_FAILED,
    &RESET,
    &TIMEOUT,
];

#[rustfmt::skip]
pub(super) static CREDENTIALS_MISSING: Row = Row::new(Local("no `authorization` metadata"), Unauthenticated, Never, Outcome::NotSent, Reason::CredentialsMissing);
#[rustfmt::skip]
pub(super) static CREDENTIALS_MALFORMED: Row = Row::new(Local("`authorization` malformed or sent twice"), Unauthenticated, Never, Outcome::NotSent, Reason::CredentialsMalformed);
#[rustfmt::skip]
pub(super) static CREDENTIALS_REJECTED: Row = Row::new(Local("credentials known to be rejected"), Unauthenticated, Never, Outcome::NotSent, Reason::CallerCredentialsRejected);
#[rustfmt::skip]
pub(super) static NOT_PARTNER_KEY: Row = Row::new(Local("credentials known to be no partner's"), PermissionDenied, Never, Outcome::NotSent, Reason::PartnerKeyRequired);
#[rustfmt::skip]
pub(super) static INVALID_FIELDS: Row = Row::new(Local("a field or metadata breaks a constraint"), InvalidArgument, Never, Outcome::NotSent, Reason::InvalidField).with(&[BadRequest]);
#[rustfmt::skip]
pub(super) static INVALID_MESSAGE: Row = Row::new(Local("bytes that are not the request message"), InvalidArgument, Never, Outcome::NotSent, Reason::InvalidMessage);
#[rustfmt::skip]
pub(super) static REQUEST_TOO_LARGE: Row = Row::new(Local("request message over the limit"), ResourceExhausted, Never, Outcome::NotSent, Reason::RequestTooLarge);
#[rustfmt::skip]
pub(super) static UNKNOWN_RPC: Row = Row::new(Local("unknown service or RPC"), Unimplemented, Never, Outcome::NotSent, Reason::UnknownRpc);
#[rustfmt::skip]
pub(super) static DEADLINE_EXCEEDED: Row = Row::new(Local("deadline passed"), DeadlineExceeded, Caller, Outcome::Unknown, Reason::DeadlineExceeded);
#[rustfmt::skip]
pub(super) static CANCELLED: Row = Row::new(Local("caller cancelled"), Cancelled, Caller, Outcome::Unknown, Reason::Cancelled);
#[rustfmt::skip]
pub(super) static OVERLOADED: Row = Row::new(Local("limit of calls in flight reached"), ResourceExhausted, Caller, Outcome::NotSent, Reason::GatewayOverloaded).with(&[Retry]);
#[rustfmt::skip]
pub(super) static RATE_LIMITED: Row = Row::new(Local("caller over the gateway's rate limit"), ResourceExhausted, Caller, Outcome::NotSent, Reason::RateLimited).with(&[Retry]);
#[rustfmt::skip]
pub(super) static CIRCUIT_OPEN: Row = Row::new(Local("circuit breaker open"), Unavailable, Caller, Outcome::NotSent, Reason::CircuitOpen).with(&[Retry]);
#[rustfmt::skip]
pub(super) static DRAINING: Row = Row::new(Local("gateway shutting down"), Unavailable, Caller, Outcome::NotSent, Reason::Draining);
#[rustfmt::skip]
pub(super) static PANIC: Row = Row::new(Local("panic in the gateway"), Internal, Never, Outcome::Unknown, Reason::GatewayPanic);
#[rustfmt::skip]
pub(super) static BAD_RESPONSE: Row = Row::new(Local("success with a body that cannot be read"), Internal, CreateOnce, Outcome::Unknown, Reason::UpstreamBadResponse).on_create(Unknown, Reason::OutcomeUnknown);
#[rustfmt::skip]
pub(super) static RESPONSE_TOO_LARGE: Row = Row::new(Local("answer over the limit"), ResourceExhausted, Never, Outcome::Unknown, Reason::UpstreamResponseTooLarge);
#[rustfmt::skip]
pub(super) static CONNECT_FAILED: Row = Row::new(Local("no connection: DNS, refused, TLS, timeout"), Unavailable, Any, Outcome::NotSent, Reason::UpstreamConnectFailed);
#[rustfmt::skip]
pub(super) static RESET: Row = Row::new(Local("connection lost after the request was sent"), Unavailable, Any, Outcome::Unknown, Reason::UpstreamReset);
#[rustfmt::skip]
pub(super) static TIMEOUT: Row = Row::new(Local("attempt took too long"), DeadlineExceeded, Any, Outcome::Unknown, Reason::UpstreamTimeout);
