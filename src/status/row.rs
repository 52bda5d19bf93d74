//! One row of judgement: what a failure means to a caller.

use tonic::Code;

use super::Reason;

/// One judgement: what a status, or a failure without one, means to a caller.
#[derive(Debug)]
pub(super) struct Row {
    /// When it applies.
    pub(super) when: When,
    /// Code and reason for a read.
    pub(super) list: (Code, Reason),
    /// Code and reason for a call with an effect.
    pub(super) create: (Code, Reason),
    /// Who may repeat the call as it is.
    pub(super) repeat: Repeat,
    /// What became of a create. A read that was answered is never in doubt.
    pub(super) outcome: Outcome,
    /// The details beside `ErrorInfo` and `RequestInfo`.
    pub(super) attach: &'static [Attach],
    /// When the status is a success.
    pub(super) body: Body,
}

/// When a row applies.
#[derive(Debug)]
pub(super) enum When {
    /// Polytomic answered with one of these statuses.
    Each(&'static [u16]),
    /// Polytomic answered with a status from the first to the last.
    Within(u16, u16),
    /// There is no status; says what happened instead.
    Local(&'static str),
}

/// Who may repeat a call as it is, and hope for better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nobody: the answer would be the same.
    Never,
    /// The gateway within deadline and budget, then the caller.
    Any,
    /// As [`Any`](Self::Any), but only a create, with the same idempotency key.
    Create,
    /// As [`Create`](Self::Create), but a single time.
    CreateOnce,
    /// The caller, not the gateway.
    Caller,
}

/// A detail beside those that every error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// `BadRequest`, if fields are named.
    BadRequest,
    /// `BadRequest` for `name`, the only text of a create that can be long.
    BadName,
    /// `RetryInfo`, by our own reckoning if Polytomic states no wait.
    Retry,
    /// `ResourceInfo`.
    Resource,
    /// `QuotaFailure`.
    Quota,
    /// `PreconditionFailure`.
    Precondition,
    /// `Help` with the RPC's page of documentation.
    Reference,
    /// `Help` with another page of documentation.
    Help(Page),
}

/// A page of Polytomic's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// What to find there.
    pub(super) title: &'static str,
    /// Its address.
    pub(super) url: &'static str,
}

/// What became of a call upstream, as far as the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent.
    NotSent,
    /// It was refused and had no effect.
    Rejected,
    /// It may have taken effect.
    Unknown,
    /// It was carried out, but its answer cannot be passed on.
    Completed,
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

/// When a status is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Never.
    Refuse,
    /// If its body can be decoded.
    Decode,
    /// On a create, if its body can be decoded.
    DecodeOfCreate,
    /// On a list, which is then empty.
    EmptyOfList,
}

/// Writes a row with the same judgement on list and create, without details.
pub(super) const fn row(
    when: When,
    code: Code,
    repeat: Repeat,
    outcome: Outcome,
    reason: Reason,
) -> Row {
    let verdict = (code, reason);
    Row {
        when,
        list: verdict,
        create: verdict,
        repeat,
        outcome,
        attach: &[],
        body: Body::Refuse,
    }
}

impl Row {
    /// Adds details.
    pub(super) const fn with(mut self, attach: &'static [Attach]) -> Self {
        self.attach = attach;
        self
    }

    /// Judges a create in its own way.
    pub(super) const fn on_create(mut self, code: Code, reason: Reason) -> Self {
        self.create = (code, reason);
        self
    }

    /// Lets a status be a success.
    pub(super) const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Returns code and reason for a read or for a call with an effect.
    pub(super) const fn verdict(&self, safe: bool) -> (Code, Reason) {
        if safe { self.list } else { self.create }
    }
}

impl Attach {
    /// Returns the name of the detail's message type.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BadRequest | Self::BadName => "BadRequest",
            Self::Retry => "RetryInfo",
            Self::Resource => "ResourceInfo",
            Self::Quota => "QuotaFailure",
            Self::Precondition => "PreconditionFailure",
            Self::Reference | Self::Help(_) => "Help",
        }
    }
}
