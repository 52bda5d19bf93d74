//! Every failure, by origin, and its one translation to a gRPC status.
//!
//! Proxies between HTTP and gRPC answer a 404 with UNIMPLEMENTED and paste raw
//! bodies into the message. A caller deserves better: the code that means the
//! same, whose fault it is, and whether to repeat the call. `status/table.rs` is that
//! judgement as data; this is the only room that makes a [`tonic::Status`].

use std::time::Duration;

use self::row::{Repeat, Row};
pub use self::{
    details::DOMAIN,
    error_response::ErrorResponse,
    markdown::{code_name, table_markdown},
    reason::Reason,
    retry_after::retry_after,
    row::Outcome,
    table::{Answer, answer},
};

mod details;
mod foreign;
// A row a line, as in `table`.
#[rustfmt::skip]
mod local;
mod error_response;
mod markdown;
mod message;
mod reason;
mod retry_after;
mod row;
mod table;
mod text;
mod translate;
mod words;

#[cfg(test)]
mod tests;

pub use crate::auth::CredentialOwner;

/// An error from below, kept for the log and never shown to a caller.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an RPC failed, by origin: caller, gateway, upstream, transport.
///
/// `Display` is the clause for the log and the start of the caller's message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    // === The caller ===
    /// No `authorization` metadata was sent.
    #[error("no credentials were sent")]
    CredentialsMissing,
    /// The `authorization` metadata cannot be used; says what is wrong with it.
    #[error("the `authorization` metadata is malformed: {0}")]
    CredentialsMalformed(&'static str),
    /// Polytomic is known to reject these credentials, so nothing was sent.
    #[error("Polytomic does not accept the credentials")]
    CredentialsRejected,
    /// The token that callers of this gateway must send is another.
    #[error("the caller token is not the one that this gateway takes")]
    CallerTokenRejected,
    /// The credentials are good, but not a partner's.
    #[error("a partner key is needed, and this is a key of class `{class}`")]
    NotPartnerKey {
        /// The class that Polytomic states, e.g. `user` or `organization`.
        class: String,
    },
    /// Fields or metadata break a declared constraint: all of them, at once.
    #[error("{}", message::violations(.0))]
    InvalidFields(Vec<Violation>),
    /// The bytes are not the request message; says why.
    #[error("the request cannot be read: {0}")]
    InvalidMessage(String),
    /// The request message is larger than `limit` bytes.
    #[error("the request message is larger than {limit} bytes")]
    RequestTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The request message is compressed, which the gateway does not read.
    #[error("the request message is compressed")]
    CompressionUnsupported,
    /// The gateway serves no RPC of this name.
    #[error("the gateway serves no RPC of this name")]
    UnknownRpc,
    /// The caller's deadline passed.
    #[error("the deadline passed before an answer came")]
    DeadlineExceeded,
    /// The caller went away.
    #[error("the caller cancelled the call")]
    Cancelled,

    // === The gateway ===
    /// The gateway has not been able to load a credential of its own; says which.
    #[error("the gateway has no usable {0} yet")]
    CredentialsUnavailable(&'static str),
    /// There is no place for another call, or for an answer as large as its last.
    #[error("the gateway is at its limit of calls, or of memory for answers")]
    Overloaded {
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// This caller makes calls faster than the gateway allows.
    #[error("the caller is over the gateway's rate limit")]
    RateLimited {
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// Polytomic fails so often that the gateway gives it a rest.
    #[error("Polytomic keeps failing, so the gateway stopped calling it for a while")]
    CircuitOpen {
        /// When the gateway will try Polytomic again.
        retry_after: Duration,
    },
    /// The gateway is shutting down and takes no new calls.
    #[error("the gateway is shutting down")]
    Draining,
    /// A handler panicked.
    #[error("internal error")]
    Panic,

    // === Polytomic answered ===
    /// Polytomic answered, but not with a success.
    #[error("{0}")]
    Refused(Box<ErrorResponse>),
    /// A success that cannot be read; says what is wrong with it, without any of its text.
    #[error("Polytomic's answer cannot be read: {0}")]
    BadResponse(String),
    /// The answer is larger than `limit` bytes.
    #[error("Polytomic's answer is larger than {limit} bytes")]
    ResponseTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is no memory left for the answer, beside those of other calls.
    #[error("the gateway is at its limit of memory for answers")]
    NoRoom,

    // === The transport ===
    /// No connection was had, so nothing was sent.
    #[error("Polytomic cannot be reached")]
    ConnectFailed(#[source] BoxError),
    /// The connection ended after the request was written.
    #[error("the connection to Polytomic ended before an answer came")]
    Reset(#[source] BoxError),
    /// An attempt took too long.
    #[error("Polytomic took too long to answer")]
    Timeout,
}

/// One broken constraint of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field by its proto name, dotted when nested; `metadata.<key>` for metadata.
    pub field: String,
    /// What to send instead, as a clause that follows the field's name.
    pub description: String,
}

/// What is known of an RPC when it fails.
///
/// [`Context::new`] has a default for everything but the request id.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The id that ties together the caller's, the gateway's and Polytomic's logs.
    pub request_id: &'a str,
    /// Whether the RPC only reads (a GET). Else it carries an idempotency key.
    pub safe: bool,
    /// How many requests were sent, or tried to be sent, to Polytomic.
    pub attempts: u32,
    /// Whether the last attempt, if any, ended before anything of it was sent.
    pub unsent: bool,
    /// Whether an attempt before the last may have taken effect.
    pub in_doubt: bool,
    /// The `Idempotency-Key` of every attempt.
    pub idempotency_key: Option<Key<'a>>,
    /// What the RPC is about: type, e.g. `polytomic.Connection`, and name as sent.
    pub resource: Option<(&'a str, &'a str)>,
    /// Whose credentials the RPC uses.
    pub whose_credentials: CredentialOwner,
    /// The credentials' fingerprint, the subject of a quota.
    pub fingerprint: Option<&'a str>,
    /// The version of Polytomic's API that was asked for.
    pub api_version: &'a str,
    /// The page that documents the RPC's REST call.
    pub page: Option<&'a str>,
}

/// The idempotency key of an RPC.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key itself.
    pub value: &'a str,
    /// Whether the RPC has the same key when its caller repeats it as it is.
    pub lasts: bool,
}

impl<'a> Context<'a> {
    /// Describes a read with the caller's credentials, of which nothing was sent yet.
    #[must_use]
    pub const fn new(request_id: &'a str) -> Self {
        Self {
            request_id,
            safe: true,
            attempts: 0,
            unsent: true,
            in_doubt: false,
            idempotency_key: None,
            resource: None,
            whose_credentials: CredentialOwner::Caller,
            fingerprint: None,
            api_version: "",
            page: None,
        }
    }
}

impl Context<'_> {
    /// Says whether the call is the same when it is sent again as it is: a read, or
    /// with the same key.
    fn is_repeatable(&self) -> bool {
        self.safe || self.idempotency_key.is_some_and(|key| key.lasts)
    }
}

impl Failure {
    /// Translates the failure for the caller: code, message, details, metadata.
    ///
    /// The trailers stay below 8 KiB whatever Polytomic sent. The failure itself
    /// is the status' source, for the log.
    #[must_use]
    pub fn into_status(self, context: &Context<'_>) -> tonic::Status {
        translate::status(self, context, fastrand::u64(..))
    }

    /// Returns the gRPC code, which is never OK.
    #[must_use]
    pub fn code(&self, safe: bool) -> tonic::Code {
        self.row().verdict(safe).0
    }

    /// Returns the reason, as in `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn reason(&self, context: &Context<'_>) -> Reason {
        match (self.row().verdict(context.safe).1, context.whose_credentials) {
            (Reason::CallerCredentialsRejected, CredentialOwner::Gateway) => {
                Reason::GatewayCredentialsRejected
            }
            (reason, _) => reason,
        }
    }

    /// Returns what became of the attempt that failed.
    ///
    /// See [`Context::in_doubt`] for the attempts before it.
    #[must_use]
    pub fn outcome(&self, safe: bool) -> Outcome {
        let outcome = self.row().outcome;
        if !safe || outcome != Outcome::Unknown {
            return outcome;
        }
        // A read that was answered leaves nothing to doubt.
        match self {
            Self::Refused(refusal) if !refusal.status().is_success() => Outcome::Rejected,
            Self::Refused(_)
            | Self::BadResponse(_)
            | Self::ResponseTooLarge { .. }
            | Self::NoRoom => Outcome::Completed,
            _ => Outcome::Unknown,
        }
    }

    /// Says whether the gateway itself may send the request again.
    ///
    /// For an unsafe RPC that means: with the same idempotency key. One outcome is
    /// worth a single repeat only, see [`is_retryable_once`](Self::is_retryable_once).
    #[must_use]
    pub fn is_retryable(&self, safe: bool) -> bool {
        match self.row().repeat {
            Repeat::Any => true,
            Repeat::Create | Repeat::CreateOnce => !safe,
            Repeat::Caller | Repeat::Never => false,
        }
    }

    /// Says whether one repeat is all that helps: it replays the recorded answer.
    #[must_use]
    pub fn is_retryable_once(&self, safe: bool) -> bool {
        self.row().repeat == Repeat::CreateOnce && !safe
    }

    /// Returns the wait that Polytomic or the gateway asked for, 60 s at most.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let wait = match self {
            Self::Refused(refusal) => refusal.retry_after()?,
            Self::Overloaded { retry_after }
            | Self::RateLimited { retry_after }
            | Self::CircuitOpen { retry_after } => *retry_after,
            _ => return None,
        };
        Some(wait.min(retry_after::LONGEST))
    }

    /// Says whether a repeat may end better.
    fn is_worth_repeating(&self, safe: bool) -> bool {
        self.is_retryable(safe) || self.row().repeat == Repeat::Caller
    }

    /// Says whether the caller may repeat the call as it is and hope for better. One
    /// that may have taken effect must not be repeated with another key.
    fn invites_repeat(&self, context: &Context<'_>) -> bool {
        self.is_worth_repeating(context.safe)
            && (context.is_repeatable() || !details::is_in_doubt(self, context))
    }

    /// Returns what became of the whole RPC.
    fn outcome_of_rpc(&self, context: &Context<'_>) -> Outcome {
        let is_unsent = context.unsent
            && matches!(self, Self::DeadlineExceeded | Self::Cancelled | Self::Timeout);
        if context.in_doubt && !context.safe {
            Outcome::Unknown
        } else if is_unsent {
            Outcome::NotSent
        } else {
            self.outcome(context.safe)
        }
    }

    /// Says whether Polytomic records this as the outcome of a create: its own failures.
    fn is_recorded(&self) -> bool {
        let row = self.row();
        row.create.1 == Reason::UpstreamError && row.repeat == Repeat::Never
    }

    fn row(&self) -> &'static Row {
        match self {
            Self::CredentialsMissing => &local::CREDENTIALS_MISSING,
            Self::CredentialsMalformed(_) => &local::CREDENTIALS_MALFORMED,
            Self::CredentialsRejected => &local::CREDENTIALS_REJECTED,
            Self::CallerTokenRejected => &local::CALLER_TOKEN_REJECTED,
            Self::CredentialsUnavailable(_) => &local::CREDENTIALS_UNAVAILABLE,
            Self::NotPartnerKey { .. } => &local::NOT_PARTNER_KEY,
            Self::InvalidFields(_) => &local::INVALID_FIELDS,
            Self::InvalidMessage(_) => &local::INVALID_MESSAGE,
            Self::RequestTooLarge { .. } => &local::REQUEST_TOO_LARGE,
            Self::CompressionUnsupported => &local::COMPRESSION_UNSUPPORTED,
            Self::UnknownRpc => &local::UNKNOWN_RPC,
            Self::DeadlineExceeded => &local::DEADLINE_EXCEEDED,
            Self::Cancelled => &local::CANCELLED,
            Self::Overloaded { .. } => &local::OVERLOADED,
            Self::RateLimited { .. } => &local::RATE_LIMITED,
            Self::CircuitOpen { .. } => &local::CIRCUIT_OPEN,
            Self::Draining => &local::DRAINING,
            Self::Panic => &local::PANIC,
            Self::Refused(refusal) => table::judge(refusal.status().as_u16()),
            Self::BadResponse(_) => &local::BAD_RESPONSE,
            Self::ResponseTooLarge { .. } => &local::RESPONSE_TOO_LARGE,
            Self::NoRoom => &local::NO_ROOM,
            Self::ConnectFailed(_) => &local::CONNECT_FAILED,
            Self::Reset(_) => &local::RESET,
            Self::Timeout => &local::TIMEOUT,
        }
    }
}
