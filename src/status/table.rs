//! What every failure means to a client: the one place to read or change that.
//!
//! A reason has its name and its words on one line. A failure has one row, with
//! its code, its reason, and who may retry. A read is an RPC that only reads (GET),
//! a write one with an effect.

use http::StatusCode;
use tonic::Code::{
    Aborted, Cancelled, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument,
    NotFound, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated,
    Unavailable, Unimplemented, Unknown,
};

use super::{
    Failure,
    row::{
        Attach::{self, BadRequest, Help, Hint, Precondition, Quota, Resource, Retry},
        Body, Page, Reason,
        RetryRule::{self, Any, Client, Never, Write, WriteOnce},
        Row,
        When::{self, Each, Local, Within},
        reason, row,
    },
};
use crate::{
    auth, budget::Exhausted, grpc::Error as GrpcError, transcode::RequestError, upstream,
};

const POLYTOMIC_OR_NETWORK: &str = "The fault is Polytomic's or the network's.";
const POLYTOMIC_OR_PROXY: &str =
    "The fault is Polytomic's or that of a proxy in front of it.";
const BEARER: &str =
    "Send exactly one `authorization` metadata: the word Bearer, a space, the key.";

// One line each, however long: tables are read down their columns.
#[rustfmt::skip]
impl Reason {
    pub(super) const CREDENTIALS_MISSING: Self             = reason("CREDENTIALS_MISSING", BEARER);
    pub(super) const CREDENTIALS_MALFORMED: Self           = reason("CREDENTIALS_MALFORMED", BEARER);
    pub(super) const CALLER_CREDENTIALS_REJECTED: Self     = reason("CALLER_CREDENTIALS_REJECTED", "The key in `authorization` is unknown or revoked: send a valid key.").for_partner_keys("The key in `authorization` is unknown or revoked: send a valid partner key.");
    pub(super) const GATEWAY_CREDENTIALS_REJECTED: Self    = reason("GATEWAY_CREDENTIALS_REJECTED", "The key is the gateway's own: its operator must replace it.");
    pub(super) const CALLER_TOKEN_REJECTED: Self           = reason("CALLER_TOKEN_REJECTED", "This gateway holds the key for Polytomic itself: send the token that its operator gives out.");
    pub(super) const CLIENT_CERTIFICATE_REQUIRED: Self     = reason("CLIENT_CERTIFICATE_REQUIRED", "This gateway holds the key for Polytomic itself: connect with a certificate that its operator trusts.");
    pub(super) const GATEWAY_CREDENTIALS_UNAVAILABLE: Self = reason("GATEWAY_CREDENTIALS_UNAVAILABLE", "The gateway's operator must fix its credential file.");
    pub(super) const PARTNER_KEY_REQUIRED: Self            = reason("PARTNER_KEY_REQUIRED", "Polytomic accepts only partner keys for this call.").fixed_by_operator();
    pub(super) const INVALID_FIELD: Self                   = reason("INVALID_FIELD", "Nothing was sent to Polytomic.");
    pub(super) const INVALID_MESSAGE: Self                 = reason("INVALID_MESSAGE", "The client's .proto may differ from the gateway's.");
    pub(super) const REQUEST_TOO_LARGE: Self               = reason("REQUEST_TOO_LARGE", "Send a smaller message.");
    pub(super) const COMPRESSION_UNSUPPORTED: Self         = reason("COMPRESSION_UNSUPPORTED", "Send it without grpc-encoding.");
    pub(super) const COMPRESSION_UNDECLARED: Self          = reason("COMPRESSION_UNDECLARED", "Send it uncompressed: the gateway reads no compression.");
    pub(super) const UNKNOWN_RPC: Self                     = reason("UNKNOWN_RPC", "Server reflection lists the RPCs that it serves.");
    pub(super) const DEADLINE_EXCEEDED: Self               = reason("DEADLINE_EXCEEDED", "Set a longer deadline if this happens often.");
    pub(super) const CANCELLED: Self                       = reason("CANCELLED", "The gateway stopped its work for the RPC.");
    pub(super) const CONNECTION_ENDED: Self                = reason("CONNECTION_ENDED", "The connection was at its limit, or the gateway stopped.");
    pub(super) const STREAM_TIME_LIMIT: Self               = reason("STREAM_TIME_LIMIT", "The messages before are right, but not all. The gateway's operator sets the limit.");
    pub(super) const GATEWAY_OVERLOADED: Self              = reason("GATEWAY_OVERLOADED", "The gateway's capacity is in use, in total or for this key or connection.");
    pub(super) const GATEWAY_PANIC: Self                   = reason("GATEWAY_PANIC", "Please report it with the request ID.");
    pub(super) const GATEWAY_REQUEST_REFUSED: Self         = reason("GATEWAY_REQUEST_REFUSED", "The gateway built a request that Polytomic cannot accept. The fault is the gateway's: please report it with the request ID.");
    pub(super) const EGRESS_PROXY_AUTH: Self               = reason("EGRESS_PROXY_AUTH", "A proxy between the gateway and Polytomic rejected the request: the gateway's operator must fix this.");
    pub(super) const CIRCUIT_OPEN: Self                    = reason("CIRCUIT_OPEN", POLYTOMIC_OR_NETWORK);
    pub(super) const UPSTREAM_FOREIGN_ERROR: Self          = reason("UPSTREAM_FOREIGN_ERROR", "The response says nothing about the IDs, the fields or the credentials. The gateway's operator should check the proxies in front of Polytomic.");
    pub(super) const UPSTREAM_CONNECT_FAILED: Self         = reason("UPSTREAM_CONNECT_FAILED", "The fault is Polytomic's, the network's or in the gateway's configuration.");
    pub(super) const UPSTREAM_BUSY: Self                   = reason("UPSTREAM_BUSY", "All streams that these credentials may use are in use. Send fewer RPCs at a time; the gateway's operator can allow more connections.");
    pub(super) const UPSTREAM_RESET: Self                  = reason("UPSTREAM_RESET", POLYTOMIC_OR_NETWORK);
    pub(super) const UPSTREAM_TIMEOUT: Self                = reason("UPSTREAM_TIMEOUT", POLYTOMIC_OR_NETWORK);
    pub(super) const UPSTREAM_RESPONSE_TOO_LARGE: Self     = reason("UPSTREAM_RESPONSE_TOO_LARGE", "The gateway's operator can raise the limit.");
    pub(super) const UPSTREAM_RESPONSE_EXCEEDS_MEMORY: Self = reason("UPSTREAM_RESPONSE_EXCEEDS_MEMORY", "The gateway's operator can raise the limit.");
    pub(super) const UPSTREAM_BAD_RESPONSE: Self           = reason("UPSTREAM_BAD_RESPONSE", "The fault is Polytomic's, or its API has changed.");
    pub(super) const OUTCOME_UNKNOWN: Self                 = reason("OUTCOME_UNKNOWN", "Polytomic's success response does not identify the created resource.");
    pub(super) const UPSTREAM_PROTOCOL_ERROR: Self         = reason("UPSTREAM_PROTOCOL_ERROR", "HTTP does not allow this response here. The fault is Polytomic's or that of a proxy in front of it.");
    pub(super) const UPSTREAM_UNEXPECTED_STATUS: Self      = reason("UPSTREAM_UNEXPECTED_STATUS", "The gateway does not expect this status. The fault is Polytomic's or that of a proxy in front of it.");
    pub(super) const UPSTREAM_REDIRECT: Self               = reason("UPSTREAM_REDIRECT", "The gateway follows no redirects, which could leak credentials. Its operator should check the upstream URL.");
    pub(super) const UPSTREAM_INVALID_REQUEST: Self        = reason("UPSTREAM_INVALID_REQUEST", "Polytomic rejected the request as invalid.");
    pub(super) const UPSTREAM_PAYMENT_REQUIRED: Self       = reason("UPSTREAM_PAYMENT_REQUIRED", "The account's state, such as unpaid billing, prevents the call.");
    pub(super) const UPSTREAM_FORBIDDEN: Self              = reason("UPSTREAM_FORBIDDEN", "The credentials are valid but do not permit this call.").for_partner_keys("The credentials are valid but do not permit this call, which needs a partner key.").fixed_by_operator();
    pub(super) const UPSTREAM_NOT_FOUND: Self              = reason("UPSTREAM_NOT_FOUND", "Polytomic found no such resource for these credentials: check the IDs in the request.");
    pub(super) const UPSTREAM_UNIMPLEMENTED: Self          = reason("UPSTREAM_UNIMPLEMENTED", "The requested API version does not have this call: the gateway needs an update.");
    pub(super) const UPSTREAM_CONFLICT: Self               = reason("UPSTREAM_CONFLICT", "A conflicting request, likely with the same idempotency key, is in progress.");
    pub(super) const UPSTREAM_PRECONDITION_FAILED: Self    = reason("UPSTREAM_PRECONDITION_FAILED", "Polytomic's state must change before the call can succeed.");
    pub(super) const UPSTREAM_UPGRADE_REQUIRED: Self       = reason("UPSTREAM_UPGRADE_REQUIRED", "Polytomic requires another version of its API or of TLS: see the metadata `x-polytomic-version`.");
    pub(super) const UPSTREAM_REFUSED: Self                = reason("UPSTREAM_REFUSED", "Polytomic rejected the request; its status does not say why.");
    pub(super) const UPSTREAM_NOT_PROCESSED: Self          = reason("UPSTREAM_NOT_PROCESSED", "Polytomic did not process the request.");
    pub(super) const UPSTREAM_RATE_LIMITED: Self           = reason("UPSTREAM_RATE_LIMITED", "Requests come faster than Polytomic, or a proxy in front of it, allows.");
    pub(crate) const UPSTREAM_ERROR: Self                  = reason("UPSTREAM_ERROR", "The fault is Polytomic's, not the client's.");
    pub(super) const UPSTREAM_UNAVAILABLE: Self            = reason("UPSTREAM_UNAVAILABLE", POLYTOMIC_OR_PROXY);
    pub(super) const UPSTREAM_OVERLOADED: Self             = reason("UPSTREAM_OVERLOADED", "Polytomic has too much load for now.");
    pub(super) const UPSTREAM_EXHAUSTED: Self              = reason("UPSTREAM_EXHAUSTED", "Polytomic is out of storage. The fault is not the client's.");
    pub(super) const UPSTREAM_PROXY_AUTH: Self             = reason("UPSTREAM_PROXY_AUTH", "A proxy of Polytomic's could not check the credentials. The fault is Polytomic's.");

    /// Every reason.
    pub(crate) const ALL: &[Self] = &[
        Self::CREDENTIALS_MISSING, Self::CREDENTIALS_MALFORMED, Self::CALLER_CREDENTIALS_REJECTED,
        Self::GATEWAY_CREDENTIALS_REJECTED, Self::CALLER_TOKEN_REJECTED, Self::CLIENT_CERTIFICATE_REQUIRED,
        Self::GATEWAY_CREDENTIALS_UNAVAILABLE, Self::PARTNER_KEY_REQUIRED, Self::INVALID_FIELD, Self::INVALID_MESSAGE, Self::REQUEST_TOO_LARGE,
        Self::COMPRESSION_UNSUPPORTED, Self::COMPRESSION_UNDECLARED, Self::UNKNOWN_RPC, Self::DEADLINE_EXCEEDED,
        Self::CANCELLED, Self::STREAM_TIME_LIMIT, Self::CONNECTION_ENDED, Self::GATEWAY_OVERLOADED, Self::GATEWAY_PANIC, Self::GATEWAY_REQUEST_REFUSED,
        Self::EGRESS_PROXY_AUTH, Self::CIRCUIT_OPEN, Self::UPSTREAM_FOREIGN_ERROR, Self::UPSTREAM_CONNECT_FAILED,
        Self::UPSTREAM_BUSY, Self::UPSTREAM_RESET, Self::UPSTREAM_TIMEOUT, Self::UPSTREAM_RESPONSE_TOO_LARGE,
        Self::UPSTREAM_RESPONSE_EXCEEDS_MEMORY, Self::UPSTREAM_BAD_RESPONSE, Self::OUTCOME_UNKNOWN,
        Self::UPSTREAM_PROTOCOL_ERROR, Self::UPSTREAM_UNEXPECTED_STATUS, Self::UPSTREAM_REDIRECT,
        Self::UPSTREAM_INVALID_REQUEST, Self::UPSTREAM_PAYMENT_REQUIRED, Self::UPSTREAM_FORBIDDEN,
        Self::UPSTREAM_NOT_FOUND, Self::UPSTREAM_UNIMPLEMENTED, Self::UPSTREAM_CONFLICT,
        Self::UPSTREAM_PRECONDITION_FAILED, Self::UPSTREAM_UPGRADE_REQUIRED, Self::UPSTREAM_REFUSED,
        Self::UPSTREAM_NOT_PROCESSED, Self::UPSTREAM_RATE_LIMITED, Self::UPSTREAM_ERROR, Self::UPSTREAM_UNAVAILABLE,
        Self::UPSTREAM_OVERLOADED, Self::UPSTREAM_EXHAUSTED, Self::UPSTREAM_PROXY_AUTH,
    ];

    /// Those after which the gateway may send another attempt.
    pub(crate) const RETRIED: &[Self] = &[
        Self::GATEWAY_CREDENTIALS_REJECTED, Self::GATEWAY_REQUEST_REFUSED, Self::UPSTREAM_CONNECT_FAILED,
        Self::UPSTREAM_RESET, Self::UPSTREAM_TIMEOUT, Self::OUTCOME_UNKNOWN,
        Self::UPSTREAM_PROTOCOL_ERROR, Self::UPSTREAM_CONFLICT, Self::UPSTREAM_NOT_PROCESSED,
        Self::UPSTREAM_RATE_LIMITED, Self::UPSTREAM_ERROR, Self::UPSTREAM_UNAVAILABLE, Self::UPSTREAM_OVERLOADED,
    ];
}

/// What an HTTP status means. The first row that names the status decides; the rows
/// of whole classes come last, so that every status has one.
#[rustfmt::skip]
pub(super) static HTTP: &[Row] = &[
    // Interim responses as the final one.
    row(Each(&[101]),                               Internal,           Never,  Reason::UPSTREAM_PROTOCOL_ERROR),
    row(Within(100, 199),                           Internal,           Any,    Reason::UPSTREAM_PROTOCOL_ERROR),
    // Successes, and what only looks like one.
    success(Each(&[200]),                           WriteOnce, Body::Decode),
    success(Each(&[201, 203]),                      Never,      Body::Decode),
    success(Each(&[202]),                           Never,      Body::DecodeOfWrite),
    success(Each(&[204, 205]),                      Never,      Body::EmptyOfRead),
    row(Within(200, 299),                           Internal,           Never,  Reason::UPSTREAM_UNEXPECTED_STATUS),
    // Redirects: never followed.
    row(Each(&[304]),                               Internal,           Never,  Reason::UPSTREAM_UNEXPECTED_STATUS),
    row(Within(300, 399),                           Internal,           Never,  Reason::UPSTREAM_REDIRECT),
    // Rejections.
    row(Each(&[400, 413, 422]),                     InvalidArgument,    Never,  Reason::UPSTREAM_INVALID_REQUEST)    .with(&[BadRequest, Attach::Reference]),
    row(Each(&[401]),                               Unauthenticated,    Never,  Reason::CALLER_CREDENTIALS_REJECTED) .with(&[Attach::Reference]),
    row(Each(&[402]),                               FailedPrecondition, Never,  Reason::UPSTREAM_PAYMENT_REQUIRED),
    row(Each(&[403]),                               PermissionDenied,   Never,  Reason::UPSTREAM_FORBIDDEN)          .with(&[Attach::Reference]),
    row(Each(&[404, 410]),                          NotFound,           Never,  Reason::UPSTREAM_NOT_FOUND)          .with(&[Resource, Hint]),
    row(Each(&[405]),                               Unimplemented,      Never,  Reason::UPSTREAM_UNIMPLEMENTED)      .with(&[Attach::Reference]),
    row(Each(&[406, 411, 414, 415, 417, 431]),      Internal,           Never,  Reason::GATEWAY_REQUEST_REFUSED),
    row(Each(&[407]),                               Internal,           Never,  Reason::EGRESS_PROXY_AUTH),
    row(Each(&[408]),                               DeadlineExceeded,   Any,    Reason::UPSTREAM_TIMEOUT),
    row(Each(&[409]),                               Aborted,            Write,  Reason::UPSTREAM_CONFLICT)           .with(&[Resource, Help(SAME_KEY)]),
    row(Each(&[412, 423, 424, 428]),                FailedPrecondition, Never,  Reason::UPSTREAM_PRECONDITION_FAILED).with(&[Precondition]),
    row(Each(&[416]),                               OutOfRange,         Never,  Reason::UPSTREAM_UNEXPECTED_STATUS),
    row(Each(&[420]),                               ResourceExhausted,  Never,  Reason::UPSTREAM_RATE_LIMITED)       .with(&[Quota]),
    row(Each(&[421, 425]),                          Unavailable,        Any,    Reason::UPSTREAM_NOT_PROCESSED),
    row(Each(&[426]),                               FailedPrecondition, Never,  Reason::UPSTREAM_UPGRADE_REQUIRED)   .with(&[Help(VERSIONS)]),
    row(Each(&[429]),                               ResourceExhausted,  Any,    Reason::UPSTREAM_RATE_LIMITED)       .with(&[Quota, Retry]),
    row(Each(&[444, 460]),                          Unavailable,        Any,    Reason::UPSTREAM_RESET),
    row(Each(&[451]),                               PermissionDenied,   Never,  Reason::UPSTREAM_REFUSED),
    row(Each(&[463, 464, 494, 495, 496, 497, 498]), Internal,           Any,    Reason::GATEWAY_REQUEST_REFUSED),
    row(Each(&[499]),                               Unknown,            Any,    Reason::UPSTREAM_RESET),
    row(Within(400, 499),                           FailedPrecondition, Never,  Reason::UPSTREAM_REFUSED),
    // Failures. Polytomic records its 500 to a create, and replays it to a retry with the same key.
    row(Each(&[500]),                               Internal,           Never,  Reason::UPSTREAM_ERROR),
    row(Each(&[501]),                               Unimplemented,      Never,  Reason::UPSTREAM_UNIMPLEMENTED)      .with(&[Attach::Reference]),
    row(Each(&[502]),                               Unavailable,        Any,    Reason::UPSTREAM_UNAVAILABLE),
    row(Each(&[503]),                               Unavailable,        Any,    Reason::UPSTREAM_UNAVAILABLE)        .with(&[Retry]),
    row(Each(&[504, 522, 524, 598, 599]),           DeadlineExceeded,   Any,    Reason::UPSTREAM_TIMEOUT),
    row(Each(&[507]),                               ResourceExhausted,  Never,  Reason::UPSTREAM_EXHAUSTED),
    row(Each(&[509, 529]),                          Unavailable,        Any,    Reason::UPSTREAM_OVERLOADED)         .with(&[Retry]),
    row(Each(&[511]),                               Internal,           Never,  Reason::EGRESS_PROXY_AUTH),
    row(Each(&[520]),                               Unknown,            Any,    Reason::UPSTREAM_ERROR),
    row(Each(&[521, 523, 525, 526, 527, 530]),      Unavailable,        Any,    Reason::UPSTREAM_UNAVAILABLE),
    row(Each(&[561]),                               Unauthenticated,    Never,  Reason::UPSTREAM_PROXY_AUTH),
    row(Within(500, 599),                           Internal,           Never,  Reason::UPSTREAM_ERROR),
    // Of no class, which the `http` crate accepts.
    row(Within(600, u16::MAX),                      Unknown,            Never,  Reason::UPSTREAM_UNEXPECTED_STATUS),
];

/// A success, unless its body cannot be read: then a create may have taken effect.
const fn success(when: When, retry: RetryRule, body: Body) -> Row {
    row(when, Internal, retry, Reason::UPSTREAM_BAD_RESPONSE)
        .on_write(Unknown, Reason::OUTCOME_UNKNOWN)
        .body(body)
}

const SAME_KEY: Page =
    Page { title: "idempotency keys: retry with the same key", url: IDEMPOTENCY };

const VERSIONS: Page = Page {
    title: "versions of Polytomic's API",
    url: "https://apidocs.polytomic.com/guides/versioning",
};

/// The page that explains idempotency keys.
pub(super) const IDEMPOTENCY: &str =
    "https://apidocs.polytomic.com/guides/idempotent-requests";

/// The page that documents the whole API, for RPCs that declare no page.
pub(super) const REFERENCE: Page =
    Page { title: "Polytomic's API reference", url: "https://apidocs.polytomic.com/" };

/// Returns the row of an HTTP status.
pub(super) fn row_of_status(status: StatusCode) -> &'static Row {
    let status = status.as_u16();
    let decides = |row: &&Row| match row.when {
        Each(statuses) => statuses.contains(&status),
        Within(first, last) => (first..=last).contains(&status),
        Local(_) => false,
    };
    HTTP.iter().find(decides).expect("the rows cover every status from 100 on")
}

/// Returns the row of a failure.
#[rustfmt::skip]
pub(super) fn row_of(failure: &Failure) -> &'static Row {
    use {Failure as F, GrpcError as G, auth::Error as A, upstream::Error as U};
    match failure {
        F::Auth(A::Missing)                      => const { &row(Local("no `authorization` metadata"),              Unauthenticated,   Never,  Reason::CREDENTIALS_MISSING) },
        F::Auth(A::Malformed(_))                 => const { &row(Local("`authorization` malformed or sent twice"),  Unauthenticated,   Never,  Reason::CREDENTIALS_MALFORMED) },
        F::Auth(A::Rejected { .. })              => const { &row(Local("credentials known to be rejected"),         Unauthenticated,   Never,  Reason::CALLER_CREDENTIALS_REJECTED) },
        F::Auth(A::CallerToken)                  => const { &row(Local("wrong caller token"),                       Unauthenticated,   Never,  Reason::CALLER_TOKEN_REJECTED) },
        F::Auth(A::NoIdentity)                   => const { &row(Local("no client certificate where the gateway's key needs one"), Unauthenticated, Never, Reason::CLIENT_CERTIFICATE_REQUIRED) },
        F::Auth(A::NotPartner { .. })            => const { &row(Local("key known not to be a partner key"),        PermissionDenied,  Never,  Reason::PARTNER_KEY_REQUIRED) },
        F::Auth(A::Unavailable(_))               => const { &row(Local("credential of the gateway not loaded"),     Unavailable,       Client, Reason::GATEWAY_CREDENTIALS_UNAVAILABLE) },
        F::Request(RequestError::Invalid(_))     => const { &row(Local("field or metadata violates a constraint"),  InvalidArgument,   Never,  Reason::INVALID_FIELD)             .with(&[BadRequest]) },
        F::Request(RequestError::Malformed(_))
        | F::Grpc(G::Malformed(_))               => const { &row(Local("request message malformed"),                InvalidArgument,   Never,  Reason::INVALID_MESSAGE) },
        F::Grpc(G::TooLarge { .. })              => const { &row(Local("request message too large"),                ResourceExhausted, Never,  Reason::REQUEST_TOO_LARGE) },
        F::Grpc(G::Compressed)                   => const { &row(Local("request message compressed"),               Unimplemented,     Never,  Reason::COMPRESSION_UNSUPPORTED) },
        F::Grpc(G::CompressionUndeclared)        => const { &row(Local("request message compressed, without `grpc-encoding`"), Internal,  Never,  Reason::COMPRESSION_UNDECLARED) },
        F::Grpc(G::UnknownRpc)                   => const { &row(Local("unknown service or RPC"),                   Unimplemented,     Never,  Reason::UNKNOWN_RPC) },
        F::DeadlineExceeded | F::Grpc(G::Late)   => const { &row(Local("deadline of the client passed"),            DeadlineExceeded,  Client, Reason::DEADLINE_EXCEEDED) },
        F::StreamLimit                           => const { &row(Local("`--rpc-timeout` of a stream passed"),       DeadlineExceeded,  Client, Reason::STREAM_TIME_LIMIT) },
        F::Cancelled | F::Grpc(G::Cancelled)     => const { &row(Local("client cancelled"),                         Cancelled,         Client, Reason::CANCELLED) },
        F::ConnectionEnded                       => const { &row(Local("connection ended by the gateway; only in the log"), Unavailable,   Client, Reason::CONNECTION_ENDED) },
        F::Budget(Exhausted::TooLarge { .. })    => const { &row(Local("stream never fits into memory"), ResourceExhausted, Never, Reason::UPSTREAM_RESPONSE_EXCEEDS_MEMORY) },
        F::Budget(_)                             => const { &row(Local("gateway at its limit of RPCs or memory"),   ResourceExhausted, Client, Reason::GATEWAY_OVERLOADED)        .with(&[Retry]) },
        F::Upstream(U::CircuitOpen { .. })       => const { &row(Local("circuit breaker open"),                     Unavailable,       Client, Reason::CIRCUIT_OPEN)              .with(&[Retry]) },
        F::Panic | F::Auth(A::Internal)          => const { &row(Local("panic in the gateway"),                     Internal,          Never,  Reason::GATEWAY_PANIC) },
        F::Response(_)
        | F::Upstream(U::Malformed(_))           => const { &row(Local("success response that cannot be read"),     Internal,      WriteOnce, Reason::UPSTREAM_BAD_RESPONSE)     .on_write(Unknown, Reason::OUTCOME_UNKNOWN) },
        F::Upstream(U::TooLarge { .. })          => const { &row(Local("response too large"),                       ResourceExhausted, Never,  Reason::UPSTREAM_RESPONSE_TOO_LARGE) },
        F::Upstream(U::NoMemory(Exhausted::TooLarge { .. }))
                                                 => const { &row(Local("response never fits into memory"),          ResourceExhausted, Never,  Reason::UPSTREAM_RESPONSE_EXCEEDS_MEMORY) },
        F::Upstream(U::NoMemory(_))              => const { &row(Local("no memory left for the response"),          ResourceExhausted, Client, Reason::GATEWAY_OVERLOADED)        .with(&[Retry]) },
        F::Upstream(U::Connect(_))               => const { &row(Local("no connection: DNS, refused, TLS, timeout"), Unavailable,      Any,    Reason::UPSTREAM_CONNECT_FAILED) },
        F::Upstream(U::NotProcessed(_))          => const { &row(Local("stream refused, or connection ended before it"), Unavailable,  Any,    Reason::UPSTREAM_NOT_PROCESSED) },
        F::Upstream(U::NoStream)                 => const { &row(Local("no free stream on the connections in time"), Unavailable,      Client, Reason::UPSTREAM_BUSY)             .with(&[Retry]) },
        F::Upstream(U::Reset(_))                 => const { &row(Local("connection lost after the request was sent"), Unavailable,     Any,    Reason::UPSTREAM_RESET) },
        F::Upstream(U::Timeout)                  => const { &row(Local("attempt timed out"),                        DeadlineExceeded,  Any,    Reason::UPSTREAM_TIMEOUT) },
        F::ErrorResponse(response)
            if response.is_foreign()             => const { &row(Local("400–406, 410–415, 417, 418, 422–424, 426, 428, 431 or 451 not in Polytomic's error format"), Internal, Never, Reason::UPSTREAM_FOREIGN_ERROR) },
        F::ErrorResponse(response)               => row_of_status(response.status()),
    }
}
