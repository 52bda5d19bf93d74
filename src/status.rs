//! Every failure's one translation to a gRPC status.
//!
//! Proxies between HTTP and gRPC answer a 404 with UNIMPLEMENTED and paste raw
//! bodies into the message. Here a client learns the code that means the same, whose
//! fault it is, and whether to retry. `status/table.rs` holds that as data. This is
//! the only room that makes a [`tonic::Status`]; it uses the other rooms' errors, and
//! none of those rooms uses it.

use std::time::Duration;

pub use self::{
    content::{Content, content},
    details::DOMAIN,
    error_response::ErrorResponse,
    outcome::{Outcome, Retry},
    retry_after::retry_after,
    row::Reason,
};
use self::{row::RetryRule, table::row_of};
use crate::{
    auth::{self, CredentialOwner},
    budget,
    contract::Options,
    grpc::Error as GrpcError,
    transcode, upstream,
};

mod content;
mod details;
mod error_response;
#[cfg(test)]
pub(crate) mod markdown;
mod message;
mod outcome;
mod retry_after;
mod row;
mod sketch;
mod table;
mod text;
mod translate;

#[cfg(test)]
mod tests;

/// Why an RPC failed, by the room that says so.
///
/// `Display` is the clause for the log and the start of the client's message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request is not one that gRPC allows, or for no RPC of the gateway.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// There are no credentials for the RPC.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The request message or the metadata cannot be sent to Polytomic.
    #[error(transparent)]
    Request(#[from] transcode::RequestError),
    /// The gateway has no capacity for the RPC.
    #[error(transparent)]
    Budget(#[from] budget::Exhausted),
    /// There is no usable response of Polytomic's.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// Polytomic responded with an error.
    #[error("{0}")]
    ErrorResponse(Box<ErrorResponse>),
    /// Polytomic's success response is not the message that the contract declares.
    #[error("Polytomic's response cannot be read: {0}")]
    Response(transcode::ResponseError),
    /// The client's deadline passed.
    #[error("the deadline passed before Polytomic responded")]
    DeadlineExceeded,
    /// The stream took as long as the gateway lets one take.
    #[error("the stream took as long as the gateway allows")]
    StreamLimit,
    /// The client went away.
    #[error("the client cancelled the RPC")]
    Cancelled,
    /// The gateway ended the connection: the client gets no status.
    #[error("the gateway ended the connection")]
    ConnectionEnded,
    /// The gateway panicked.
    #[error("internal error")]
    Panic,
}

/// What is known of an RPC when it fails.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The ID that the logs of the client, the gateway and Polytomic share.
    pub request_id: &'a str,
    /// Whether the RPC only reads (a GET).
    pub safe: bool,
    /// The number of requests that were sent to Polytomic, or tried to be sent.
    pub attempts: u32,
    /// What became of the RPC.
    pub outcome: Outcome,
    /// Whether and how the client may retry.
    pub retry: Retry,
    /// The `Idempotency-Key` of every attempt.
    pub idempotency_key: Option<&'a str>,
    /// Where that key came from: `given`, `derived` or `fresh`.
    pub idempotency_key_origin: &'a str,
    /// What the RPC is about: type, e.g. `package.Kind`, and name as sent.
    pub resource: Option<(&'a str, &'a str)>,
    /// Whose credentials the RPC uses.
    pub whose_credentials: CredentialOwner,
    /// The credentials' fingerprint, the subject of a quota.
    pub fingerprint: Option<&'a str>,
    /// The requested version of Polytomic's API.
    pub api_version: &'a str,
    /// What the RPC declares of its keys, its page and its 404.
    pub options: &'a Options,
    /// The RPC that streams what this one responds with, if there is one.
    pub stream: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Returns the context of a read of which nothing was sent, and which should not
    /// be retried.
    #[must_use]
    pub const fn new(request_id: &'a str) -> Self {
        Self {
            request_id,
            safe: true,
            attempts: 0,
            outcome: Outcome::NotSent,
            retry: Retry::Never,
            idempotency_key: None,
            idempotency_key_origin: "",
            resource: None,
            whose_credentials: CredentialOwner::Caller,
            fingerprint: None,
            api_version: "",
            options: Options::NONE,
            stream: None,
        }
    }
}

impl Failure {
    /// Translates the failure for the client: code, message, details, metadata.
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
        row_of(self).code_and_reason(safe).0
    }

    /// Returns the reason, as in `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn reason(&self, safe: bool, whose_credentials: CredentialOwner) -> Reason {
        match (row_of(self).code_and_reason(safe).1, whose_credentials) {
            (Reason::CALLER_CREDENTIALS_REJECTED, CredentialOwner::Gateway) => {
                Reason::GATEWAY_CREDENTIALS_REJECTED
            }
            (reason, _) => reason,
        }
    }

    /// Reports whether the gateway itself may retry: a create with the same
    /// idempotency key.
    #[must_use]
    pub fn is_retryable(&self, safe: bool) -> bool {
        match row_of(self).retry {
            RetryRule::Any => true,
            RetryRule::Write | RetryRule::WriteOnce => !safe,
            RetryRule::Client | RetryRule::Never => false,
        }
    }

    /// Reports whether the gateway may retry only once, which replays the recorded
    /// response.
    #[must_use]
    pub fn is_retryable_once(&self, safe: bool) -> bool {
        row_of(self).retry == RetryRule::WriteOnce && !safe
    }

    /// Reports whether a retry, by the gateway or the client, may end better.
    #[must_use]
    pub fn may_end_better(&self, safe: bool) -> bool {
        self.is_retryable(safe) || row_of(self).retry == RetryRule::Client
    }

    /// Returns the wait that Polytomic asks for, as stated, or that of the gateway.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ErrorResponse(response) => response.retry_after(),
            Self::Upstream(upstream::Error::CircuitOpen {
                retry_after: wait, ..
            }) => Some((*wait).min(retry_after::LONGEST)),
            _ => None,
        }
    }

    /// Returns the budget that had no room, if that is why.
    #[must_use]
    pub fn exhausted(&self) -> Option<budget::Exhausted> {
        match self {
            Self::Budget(exhausted)
            | Self::Upstream(upstream::Error::NoMemory(exhausted)) => Some(*exhausted),
            _ => None,
        }
    }

    fn is_panic(&self) -> bool {
        matches!(self, Self::Panic | Self::Auth(auth::Error::Internal))
    }
}
