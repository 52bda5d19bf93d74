//! What became of an RPC, and what its client may do next.
//!
//! Values only: `gateway/outcome.rs` decides them, and nothing else does. They are
//! defined here because `status` writes them out and must not know the gateway.

/// What became of an RPC at Polytomic, as far as the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent, or Polytomic states that it did not process it.
    NotSent,
    /// Polytomic rejected it; it had no effect.
    Rejected,
    /// It may have taken effect.
    Unknown,
    /// Polytomic carried it out, but the gateway cannot return the response.
    Completed,
}

/// Whether the client may retry an RPC that failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not: it would fail again.
    Never,
    /// Yes, and so may its retry policy.
    Safe,
    /// Yes, but not by a retry policy: a policy marks its retries, and the gateway
    /// rejects a marked retry of a create without a key of the client's own.
    ByClient,
    /// It may have taken effect; a retry of the RPC as it is has the same key.
    SameKey,
    /// It may have taken effect; a retry is safe only with the key that is returned.
    ReturnedKey,
    /// It may have taken effect, and a retry would fail again; once the cause is fixed, a
    /// retry is safe with the same key.
    SameKeyOnceFixed,
    /// It may have taken effect, and a retry with the same key would replay the error.
    /// Nothing changes any more, so that a list shows whether it has.
    ListThenNewKey,
}

impl Outcome {
    /// Returns the name on the wire, in capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "NOT_SENT",
            Self::Rejected => "REJECTED",
            Self::Unknown => "UNKNOWN",
            Self::Completed => "COMPLETED",
        }
    }
}

impl Retry {
    /// Reports whether the client may send the RPC again as it is.
    pub(super) const fn is_retryable(self) -> bool {
        matches!(self, Self::Safe | Self::ByClient | Self::SameKey)
    }

    /// Reports whether the client's retry policy may do so.
    pub(super) const fn is_for_policies(self) -> bool {
        matches!(self, Self::Safe | Self::SameKey)
    }

    /// Reports whether the RPC may have taken effect.
    pub(super) const fn is_in_doubt(self) -> bool {
        matches!(
            self,
            Self::SameKey
                | Self::ReturnedKey
                | Self::SameKeyOnceFixed
                | Self::ListThenNewKey
        )
    }
}
