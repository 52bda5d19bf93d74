//! The closed set of reasons that a caller's program may switch on.

use std::fmt;

/// Why an RPC failed, for a program: `google.rpc.ErrorInfo.reason` (AIP-193).
///
/// The names are part of the contract: new ones may come, none changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No credentials were sent.
    CredentialsMissing,
    /// The credentials have the wrong form.
    CredentialsMalformed,
    /// Polytomic rejects the credentials that the caller sent.
    CallerCredentialsRejected,
    /// Polytomic rejects the credentials that the gateway holds.
    GatewayCredentialsRejected,
    /// The credentials are good, but not a partner's.
    PartnerKeyRequired,
    /// The caller's token is not the one that the gateway takes.
    CallerTokenRejected,
    /// The gateway could not load a credential of its own.
    GatewayCredentialsUnavailable,
    /// A field or metadata breaks a declared constraint.
    InvalidField,
    /// The bytes are not the request message.
    InvalidMessage,
    /// The request message exceeds the gateway's limit.
    RequestTooLarge,
    /// The gateway reads no compressed messages.
    CompressionUnsupported,
    /// The gateway serves no such RPC.
    UnknownRpc,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// The caller cancelled.
    Cancelled,
    /// The gateway is at its limit of calls in flight, or of memory for answers.
    GatewayOverloaded,
    /// The caller is over the gateway's rate limit.
    RateLimited,
    /// The gateway gives a failing Polytomic a rest.
    CircuitOpen,
    /// The gateway is shutting down.
    Draining,
    /// A handler of the gateway panicked.
    GatewayPanic,
    /// Polytomic refuses a request that only the gateway can have built wrongly.
    GatewayRequestRefused,
    /// A proxy between gateway and Polytomic wants credentials or consent.
    EgressProxyAuth,
    /// No connection to Polytomic was had; nothing was sent.
    UpstreamConnectFailed,
    /// The connection ended after the request was written.
    UpstreamReset,
    /// Polytomic did not answer in time.
    UpstreamTimeout,
    /// The answer exceeds the gateway's limit.
    UpstreamResponseTooLarge,
    /// A success whose body cannot be read.
    UpstreamBadResponse,
    /// A create was answered with a success that does not say what was made.
    OutcomeUnknown,
    /// The answer breaks HTTP.
    UpstreamProtocolError,
    /// An answer that the gateway never asks for.
    UpstreamUnexpectedStatus,
    /// A redirect, which is never followed.
    UpstreamRedirect,
    /// Polytomic finds fault with the arguments.
    UpstreamInvalidRequest,
    /// Polytomic refuses for the state of the account.
    UpstreamPaymentRequired,
    /// The credentials do not permit this.
    UpstreamForbidden,
    /// Polytomic knows no such thing, or hides it.
    UpstreamNotFound,
    /// Polytomic no longer has, or not yet has, this call.
    UpstreamUnimplemented,
    /// Another call with the same idempotency key is still in flight.
    UpstreamConflict,
    /// A state that the call needs does not hold.
    UpstreamPreconditionFailed,
    /// Polytomic's API or TLS version must change.
    UpstreamUpgradeRequired,
    /// Polytomic refuses for a reason that its status does not tell.
    UpstreamRefused,
    /// Polytomic did not process the request and says so.
    UpstreamNotProcessed,
    /// The credentials' quota at Polytomic is used up.
    UpstreamRateLimited,
    /// Polytomic failed.
    UpstreamError,
    /// Polytomic is down, or cannot be reached through its proxies.
    UpstreamUnavailable,
    /// Polytomic has too much to do.
    UpstreamOverloaded,
    /// Polytomic is out of storage.
    UpstreamExhausted,
    /// A proxy of Polytomic's failed to authenticate.
    UpstreamProxyAuth,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::CredentialsMissing,
        Self::CredentialsMalformed,
        Self::CallerCredentialsRejected,
        Self::GatewayCredentialsRejected,
        Self::PartnerKeyRequired,
        Self::CallerTokenRejected,
        Self::GatewayCredentialsUnavailable,
        Self::InvalidField,
        Self::InvalidMessage,
        Self::RequestTooLarge,
        Self::CompressionUnsupported,
        Self::UnknownRpc,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::GatewayOverloaded,
        Self::RateLimited,
        Self::CircuitOpen,
        Self::Draining,
        Self::GatewayPanic,
        Self::GatewayRequestRefused,
        Self::EgressProxyAuth,
        Self::UpstreamConnectFailed,
        Self::UpstreamReset,
        Self::UpstreamTimeout,
        Self::UpstreamResponseTooLarge,
        Self::UpstreamBadResponse,
        Self::OutcomeUnknown,
        Self::UpstreamProtocolError,
        Self::UpstreamUnexpectedStatus,
        Self::UpstreamRedirect,
        Self::UpstreamInvalidRequest,
        Self::UpstreamPaymentRequired,
        Self::UpstreamForbidden,
        Self::UpstreamNotFound,
        Self::UpstreamUnimplemented,
        Self::UpstreamConflict,
        Self::UpstreamPreconditionFailed,
        Self::UpstreamUpgradeRequired,
        Self::UpstreamRefused,
        Self::UpstreamNotProcessed,
        Self::UpstreamRateLimited,
        Self::UpstreamError,
        Self::UpstreamUnavailable,
        Self::UpstreamOverloaded,
        Self::UpstreamExhausted,
        Self::UpstreamProxyAuth,
    ];

    /// Returns the name on the wire, in capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "CREDENTIALS_MISSING",
            Self::CredentialsMalformed => "CREDENTIALS_MALFORMED",
            Self::CallerCredentialsRejected => "CALLER_CREDENTIALS_REJECTED",
            Self::GatewayCredentialsRejected => "GATEWAY_CREDENTIALS_REJECTED",
            Self::PartnerKeyRequired => "PARTNER_KEY_REQUIRED",
            Self::CallerTokenRejected => "CALLER_TOKEN_REJECTED",
            Self::GatewayCredentialsUnavailable => "GATEWAY_CREDENTIALS_UNAVAILABLE",
            Self::InvalidField => "INVALID_FIELD",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::RequestTooLarge => "REQUEST_TOO_LARGE",
            Self::CompressionUnsupported => "COMPRESSION_UNSUPPORTED",
            Self::UnknownRpc => "UNKNOWN_RPC",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::GatewayOverloaded => "GATEWAY_OVERLOADED",
            Self::RateLimited => "RATE_LIMITED",
            Self::CircuitOpen => "CIRCUIT_OPEN",
            Self::Draining => "DRAINING",
            Self::GatewayPanic => "GATEWAY_PANIC",
            Self::GatewayRequestRefused => "GATEWAY_REQUEST_REFUSED",
            Self::EgressProxyAuth => "EGRESS_PROXY_AUTH",
            Self::UpstreamConnectFailed => "UPSTREAM_CONNECT_FAILED",
            Self::UpstreamReset => "UPSTREAM_RESET",
            Self::UpstreamTimeout => "UPSTREAM_TIMEOUT",
            Self::UpstreamResponseTooLarge => "UPSTREAM_RESPONSE_TOO_LARGE",
            Self::UpstreamBadResponse => "UPSTREAM_BAD_RESPONSE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::UpstreamProtocolError => "UPSTREAM_PROTOCOL_ERROR",
            Self::UpstreamUnexpectedStatus => "UPSTREAM_UNEXPECTED_STATUS",
            Self::UpstreamRedirect => "UPSTREAM_REDIRECT",
            Self::UpstreamInvalidRequest => "UPSTREAM_INVALID_REQUEST",
            Self::UpstreamPaymentRequired => "UPSTREAM_PAYMENT_REQUIRED",
            Self::UpstreamForbidden => "UPSTREAM_FORBIDDEN",
            Self::UpstreamNotFound => "UPSTREAM_NOT_FOUND",
            Self::UpstreamUnimplemented => "UPSTREAM_UNIMPLEMENTED",
            Self::UpstreamConflict => "UPSTREAM_CONFLICT",
            Self::UpstreamPreconditionFailed => "UPSTREAM_PRECONDITION_FAILED",
            Self::UpstreamUpgradeRequired => "UPSTREAM_UPGRADE_REQUIRED",
            Self::UpstreamRefused => "UPSTREAM_REFUSED",
            Self::UpstreamNotProcessed => "UPSTREAM_NOT_PROCESSED",
            Self::UpstreamRateLimited => "UPSTREAM_RATE_LIMITED",
            Self::UpstreamError => "UPSTREAM_ERROR",
            Self::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
            Self::UpstreamOverloaded => "UPSTREAM_OVERLOADED",
            Self::UpstreamExhausted => "UPSTREAM_EXHAUSTED",
            Self::UpstreamProxyAuth => "UPSTREAM_PROXY_AUTH",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
