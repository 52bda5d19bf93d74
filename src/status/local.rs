//! The judgement on failures that have no HTTP status, as data.

use tonic::Code::{
    Cancelled, DeadlineExceeded, Internal, InvalidArgument, PermissionDenied,
    ResourceExhausted, Unauthenticated, Unavailable, Unimplemented, Unknown,
};

use super::{
    Reason,
    row::{
        Attach::{BadRequest, Retry},
        Outcome::{NotSent, Unknown as InDoubt},
        Repeat::{Any, Caller, CreateOnce, Never},
        Row,
        When::Local,
        row,
    },
};

/// Every row, in the order of `Failure`.
pub(super) static ALL: &[&Row] = &[
    &CREDENTIALS_MISSING,
    &CREDENTIALS_MALFORMED,
    &CREDENTIALS_REJECTED,
    &CALLER_TOKEN_REJECTED,
    &NOT_PARTNER_KEY,
    &INVALID_FIELDS,
    &INVALID_MESSAGE,
    &REQUEST_TOO_LARGE,
    &COMPRESSION_UNSUPPORTED,
    &UNKNOWN_RPC,
    &DEADLINE_EXCEEDED,
    &CANCELLED,
    &CREDENTIALS_UNAVAILABLE,
    &OVERLOADED,
    &RATE_LIMITED,
    &CIRCUIT_OPEN,
    &DRAINING,
    &PANIC,
    &BAD_RESPONSE,
    &RESPONSE_TOO_LARGE,
    &NO_ROOM,
    &CONNECT_FAILED,
    &RESET,
    &TIMEOUT,
];

pub(super) static CREDENTIALS_MISSING: Row   = row(Local("no `authorization` metadata"),                Unauthenticated,   Never,      NotSent, Reason::CredentialsMissing);
pub(super) static CREDENTIALS_MALFORMED: Row = row(Local("`authorization` malformed or sent twice"),    Unauthenticated,   Never,      NotSent, Reason::CredentialsMalformed);
pub(super) static CREDENTIALS_REJECTED: Row  = row(Local("credentials known to be rejected"),           Unauthenticated,   Never,      NotSent, Reason::CallerCredentialsRejected);
pub(super) static CALLER_TOKEN_REJECTED: Row = row(Local("another caller token than the gateway's"),   Unauthenticated,   Never,      NotSent, Reason::CallerTokenRejected);
pub(super) static NOT_PARTNER_KEY: Row       = row(Local("credentials known to be no partner's"),       PermissionDenied,  Never,      NotSent, Reason::PartnerKeyRequired);
pub(super) static INVALID_FIELDS: Row        = row(Local("a field or metadata breaks a constraint"),    InvalidArgument,   Never,      NotSent, Reason::InvalidField)             .with(&[BadRequest]);
pub(super) static INVALID_MESSAGE: Row       = row(Local("bytes that are not the request message"),     InvalidArgument,   Never,      NotSent, Reason::InvalidMessage);
pub(super) static REQUEST_TOO_LARGE: Row     = row(Local("request message over the limit"),             ResourceExhausted, Never,      NotSent, Reason::RequestTooLarge);
pub(super) static COMPRESSION_UNSUPPORTED: Row = row(Local("compressed request message"),          Unimplemented,     Never,      NotSent, Reason::CompressionUnsupported);
pub(super) static UNKNOWN_RPC: Row           = row(Local("unknown service or RPC"),                     Unimplemented,     Never,      NotSent, Reason::UnknownRpc);
pub(super) static DEADLINE_EXCEEDED: Row     = row(Local("deadline passed"),                            DeadlineExceeded,  Caller,     InDoubt, Reason::DeadlineExceeded);
pub(super) static CANCELLED: Row             = row(Local("caller cancelled"),                           Cancelled,         Caller,     InDoubt, Reason::Cancelled);
pub(super) static CREDENTIALS_UNAVAILABLE: Row = row(Local("no usable credential of the gateway's own"), Unavailable, Caller,     NotSent, Reason::GatewayCredentialsUnavailable);
pub(super) static OVERLOADED: Row            = row(Local("limit of calls, or of memory, reached"),      ResourceExhausted, Caller,     NotSent, Reason::GatewayOverloaded)        .with(&[Retry]);
pub(super) static RATE_LIMITED: Row          = row(Local("caller over the gateway's rate limit"),       ResourceExhausted, Caller,     NotSent, Reason::RateLimited)              .with(&[Retry]);
pub(super) static CIRCUIT_OPEN: Row          = row(Local("circuit breaker open"),                       Unavailable,       Caller,     NotSent, Reason::CircuitOpen)              .with(&[Retry]);
pub(super) static DRAINING: Row              = row(Local("gateway shutting down"),                      Unavailable,       Caller,     NotSent, Reason::Draining);
pub(super) static PANIC: Row                 = row(Local("panic in the gateway"),                       Internal,          Never,      InDoubt, Reason::GatewayPanic);
pub(super) static BAD_RESPONSE: Row          = row(Local("success with a body that cannot be read"),    Internal,          CreateOnce, InDoubt, Reason::UpstreamBadResponse)      .on_create(Unknown, Reason::OutcomeUnknown);
pub(super) static RESPONSE_TOO_LARGE: Row    = row(Local("answer over the limit"),                      ResourceExhausted, Never,      InDoubt, Reason::UpstreamResponseTooLarge);
pub(super) static NO_ROOM: Row               = row(Local("no memory left for the answer"),              ResourceExhausted, Caller,     InDoubt, Reason::GatewayOverloaded)        .with(&[Retry]);
pub(super) static CONNECT_FAILED: Row        = row(Local("no connection: DNS, refused, TLS, timeout"),  Unavailable,       Any,        NotSent, Reason::UpstreamConnectFailed);
pub(super) static RESET: Row                 = row(Local("connection lost after the request was sent"), Unavailable,       Any,        InDoubt, Reason::UpstreamReset);
pub(super) static TIMEOUT: Row               = row(Local("attempt took too long"),                      DeadlineExceeded,  Any,        InDoubt, Reason::UpstreamTimeout);
