//! What a search is about: who takes part, what may go wrong, which rule is broken.

/// The bounds of a search, and what may happen in it.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Who takes part, and what goes wrong, in the words of docs/PROTOCOL.md.
    pub(super) name: &'static str,
    pub(super) promise: Promise,
    /// Shares that are wanted, each by a client of its own.
    pub(super) creates: u8,
    /// Calls of each client.
    pub(super) calls: u8,
    /// Whether each client has a key of its own per share.
    pub(super) own_key: bool,
    /// How a client decides whether to call again.
    pub(super) habit: Habit,
    /// Tries of the client library per call.
    pub(super) tries: u8,
    /// Whether the library sends its tries without waiting for each other.
    pub(super) hedges: bool,
    /// How often a proxy sends one stream.
    pub(super) sends: u8,
    /// What it says about that.
    pub(super) proxy: Proxy,
    /// Which `x-request-id` reach the gateway.
    pub(super) ids: Ids,
    /// Attempts of the gateway per RPC.
    pub(super) attempts: u32,
    /// What may happen in addition to loss, delay, reordering and death.
    pub(super) also: &'static [Also],
    /// The rule that the gateway breaks.
    pub(super) fault: Option<Fault>,
}

/// What must hold in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// There is one share at most.
    OneShare,
    /// That, and what a client reads about a call is true, now and later.
    TrueOutcomes,
}

/// How a client decides whether to call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// It does what docs/RETRIES.md says.
    Obeys,
    /// It takes an outcome of one call for that of the calls before.
    TrustsLastOutcome,
    /// Without a key of its own it calls again after any failure.
    AlwaysRepeats,
    /// After an UNKNOWN it lists, and starts anew if there is no share.
    ListsOnly,
}

/// What a proxy says about the streams that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// It counts them in `x-envoy-attempt-count`.
    Counts,
    /// It does not count, but its metadata show that it is there.
    ShowsItself,
    /// Nothing shows that it is there.
    Hides,
}

/// Which `x-request-id` reach the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// A sidecar gives each stream one of its own.
    OfStream,
    /// Each RPC has the same placeholder.
    Placeholder,
    /// There is no sidecar.
    None,
}

/// What may happen, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Also {
    /// The network carries a request to Polytomic twice.
    Doubled,
    /// Something rejects a request before Polytomic looks at its key: 403 or 429.
    RejectedEarly,
    /// Polytomic stops to accept the older of two credentials of the gateway.
    Rotated,
    /// Another gateway has the newer credentials already.
    RotatedElsewhere,
    /// Polytomic keeps its records by credentials.
    RecordsByCredentials,
    /// 24 hours pass: Polytomic forgets keys.
    Forgotten,
    /// Polytomic does not record that it rejected a create.
    RejectionsUnrecorded,
}

/// A rule of the gateway's that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A derived key counts as the client's own, and marked retries are let through.
    OldRule,
    /// A derived key counts as the client's own.
    DerivedAsGiven,
    /// Marked retries without a key are let through.
    MarkedRetriesAdmitted,
    /// A marked retry does not start as UNKNOWN.
    MarksForgotten,
    /// Each attempt has another key.
    KeyPerAttempt,
    /// An attempt in doubt is followed by one with newer credentials.
    RenewsInDoubt,
    /// A deadline after the body has been sent counts as `NOT_SENT`.
    TimeoutAsUnsent,
    /// 409 counts as REJECTED.
    ConflictAsRejected,
    /// Only the last attempt counts.
    DoubtForgotten,
    /// A proxy's 500 counts as one that Polytomic has recorded.
    ProxyFailureAsRecorded,
    /// A placeholder derives a key.
    PlaceholderAsSeed,
}

impl Promise {
    /// Returns the promise in words.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OneShare => "one share",
            Self::TrueOutcomes => "one share, true outcomes",
        }
    }
}

impl Scenario {
    /// One client without a key of its own, one call, one try, one stream, one attempt.
    pub(super) const SMALLEST: Self = Self {
        name: "",
        promise: Promise::TrueOutcomes,
        creates: 1,
        calls: 1,
        own_key: false,
        habit: Habit::Obeys,
        tries: 1,
        hedges: false,
        sends: 1,
        proxy: Proxy::Counts,
        ids: Ids::OfStream,
        attempts: 1,
        also: &[],
        fault: None,
    };

    pub(super) fn may(&self, also: Also) -> bool {
        self.also.contains(&also)
    }
}
