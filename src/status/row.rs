//! The parts of a row of the table.

use std::fmt;

use tonic::Code;

use crate::contract::KeyClass;

/// What a status, or a failure without one, means to a client.
#[derive(Debug)]
pub(super) struct Row {
    /// When it applies.
    pub(super) when: When,
    /// Code and reason for a read.
    pub(super) read: (Code, Reason),
    /// Code and reason for an RPC with an effect.
    pub(super) write: (Code, Reason),
    /// Who may retry.
    pub(super) retry: RetryRule,
    /// The details in addition to `ErrorInfo` and `RequestInfo`.
    pub(super) attach: &'static [Attach],
    /// When the status is a success.
    pub(super) body: Body,
}

/// When a row applies.
#[derive(Debug)]
pub(super) enum When {
    /// Polytomic responded with one of these statuses.
    Each(&'static [u16]),
    /// Polytomic responded with a status from the first to the last.
    Within(u16, u16),
    /// There is no status; says what happened instead.
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/STATUSES.md has it"))]
    Local(&'static str),
}

/// Who may retry the same request, because it may end better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryRule {
    /// Neither: the result would be the same.
    Never,
    /// The gateway within deadline and budget, then the client.
    Any,
    /// As [`Any`](Self::Any), but only an RPC with an effect, with the same idempotency key.
    Write,
    /// As [`Write`](Self::Write), but only once.
    WriteOnce,
    /// The client, not the gateway.
    Client,
}

/// Why an RPC failed, for a program: `google.rpc.ErrorInfo.reason` (AIP-193).
///
/// The names are part of the contract: new ones may come, none changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    name: &'static str,
    explanation: &'static str,
    /// The explanation for an RPC that takes only partner keys.
    for_partner_keys: &'static str,
    is_fixed_by_operator: bool,
}

/// A detail in addition to those that every error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// `BadRequest`, if fields are named.
    BadRequest,
    /// `RetryInfo`, with a wait of the gateway's own if Polytomic states none.
    Retry,
    /// `ResourceInfo`.
    Resource,
    /// `QuotaFailure`.
    Quota,
    /// `PreconditionFailure`.
    Precondition,
    /// `Help` with the page that documents the RPC.
    Reference,
    /// `Help` with the page that explains the RPC's hint, or the one that documents it.
    Hint,
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

/// When a status is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Never.
    Error,
    /// If its body can be decoded.
    Decode,
    /// On an RPC with an effect, if its body can be decoded.
    DecodeOfWrite,
    /// On a read, which then has an empty message.
    EmptyOfRead,
}

/// Makes a row with the same code and reason for reads and other RPCs, without details.
pub(super) const fn row(when: When, code: Code, retry: RetryRule, reason: Reason) -> Row {
    let both = (code, reason);
    Row { when, read: both, write: both, retry, attach: &[], body: Body::Error }
}

impl Row {
    /// Adds details.
    pub(super) const fn with(mut self, attach: &'static [Attach]) -> Self {
        self.attach = attach;
        self
    }

    /// Sets code and reason of an RPC with an effect.
    pub(super) const fn on_write(mut self, code: Code, reason: Reason) -> Self {
        self.write = (code, reason);
        self
    }

    /// Lets a status be a success.
    pub(super) const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Returns code and reason for a read or for an RPC with an effect.
    pub(super) const fn code_and_reason(&self, safe: bool) -> (Code, Reason) {
        if safe { self.read } else { self.write }
    }
}

/// Makes a reason. The explanation says whose fault it is and what to fix, in one or
/// two sentences; whether to retry depends on more than the reason.
pub(super) const fn reason(name: &'static str, explanation: &'static str) -> Reason {
    Reason {
        name,
        explanation,
        for_partner_keys: explanation,
        is_fixed_by_operator: false,
    }
}

impl Reason {
    /// Returns the name on the wire, in capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Reports whether the response was too large.
    pub(super) fn is_of_size(self) -> bool {
        [Self::UPSTREAM_RESPONSE_TOO_LARGE, Self::UPSTREAM_RESPONSE_EXCEEDS_MEMORY]
            .contains(&self)
    }

    /// Sets the explanation for an RPC that takes only partner keys.
    pub(super) const fn for_partner_keys(mut self, explanation: &'static str) -> Self {
        self.for_partner_keys = explanation;
        self
    }

    /// Leaves it to the operator to fix a key of the gateway's.
    pub(super) const fn fixed_by_operator(mut self) -> Self {
        self.is_fixed_by_operator = true;
        self
    }

    /// Returns what the reason means to a client of an RPC that takes such keys.
    pub(super) const fn explanation(self, keys: KeyClass) -> &'static str {
        match keys {
            KeyClass::Any => self.explanation,
            KeyClass::Partner => self.for_partner_keys,
        }
    }

    /// Reports whether only the operator can fix this if the key is the gateway's.
    pub(super) const fn is_fixed_by_operator(self) -> bool {
        self.is_fixed_by_operator
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
