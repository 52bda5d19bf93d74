//! The state of everybody at one moment: small values that can be compared.

use super::scenario::Promise;

/// A create that is wanted: one share.
pub(super) type Create = u8;

/// An idempotency key, by its number in [`Rules`](super::rules::Rules).
pub(super) type KeyId = u8;

/// Everything that decides what may happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// One for each create.
    pub(super) clients: Vec<Client>,
    /// Requests to Polytomic for which nobody waits. Each may arrive at any later
    /// moment, more than once, or never. In order.
    pub(super) loose: Vec<Request>,
    pub(super) polytomic: Polytomic,
}

/// A client that wants one share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) calls: u8,
    /// What the client was told about each of its ended calls.
    pub(super) told: Vec<Claim>,
    /// The call in progress.
    pub(super) call: Option<Call>,
    pub(super) next: Next,
}

/// Whether a client calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next {
    No,
    /// With its own key, or without one.
    Call(Option<KeyId>),
}

/// What a client may rely on after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Claim {
    /// The share exists.
    Made,
    /// The call has made no share, and never will.
    NotMade,
    /// Nothing.
    Unknown,
    /// OK, with the share of another create.
    OfAnother,
}

/// A call of a client, which its library may send several times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) own_key: Option<KeyId>,
    pub(super) tries: u8,
    /// Whether a gateway asked for no further tries.
    pub(super) stopped: bool,
    /// The streams that the library waits for: several if it hedges.
    pub(super) streams: Vec<Rpc>,
}

/// Which stream an RPC is: what decides its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) create: Create,
    pub(super) call: u8,
    /// The number of the library's try, from 0.
    pub(super) attempt: u8,
    /// How often a proxy has sent this try before.
    pub(super) sent: u8,
    pub(super) own_key: Option<KeyId>,
}

/// An RPC at a gateway, for whose response somebody waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rpc {
    pub(super) stream: Stream,
    /// How the gateway's attempts ended. Several 409 in a row are one.
    pub(super) endings: Vec<Ending>,
    /// Whether the gateway uses newer credentials.
    pub(super) renewed: bool,
    pub(super) phase: Phase,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Nothing of it was sent.
    Unsent,
    /// Its request is on its way.
    Sent,
    /// Polytomic works on it, or holds the response to it.
    Taken,
}

/// How an attempt, or the RPC without one, fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ending {
    NoKey,
    NoCapacity,
    CircuitOpen,
    Refused,
    TimeoutUnsent,
    DeadlineUnsent,
    Deadline,
    Reset,
    Unreadable,
    Unauthorized,
    Forbidden,
    RateLimited,
    InFlight,
    Rejected,
    Failed,
    Unavailable,
    ProxyFailed,
}

impl Ending {
    /// All, in order.
    pub(super) const ALL: [Self; 17] = [
        Self::NoKey,
        Self::NoCapacity,
        Self::CircuitOpen,
        Self::Refused,
        Self::TimeoutUnsent,
        Self::DeadlineUnsent,
        Self::Deadline,
        Self::Reset,
        Self::Unreadable,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RateLimited,
        Self::InFlight,
        Self::Rejected,
        Self::Failed,
        Self::Unavailable,
        Self::ProxyFailed,
    ];
}

/// A request to Polytomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) key: Scope,
    pub(super) create: Create,
    pub(super) call: u8,
}

/// What Polytomic records outcomes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) key: KeyId,
    pub(super) newer_credentials: bool,
}

/// Polytomic's store, which is never lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Polytomic {
    /// In order of the keys.
    pub(super) records: Vec<(Scope, Progress)>,
    /// The shares: for which create, by which of its calls. In order.
    pub(super) shares: Vec<(Create, u8)>,
    /// Whether the older credentials are no longer accepted.
    pub(super) rotated: bool,
}

/// What Polytomic records for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    Working { create: Create, call: u8 },
    Made { create: Create },
    Rejected,
    Failed,
}

impl World {
    pub(super) fn new(creates: u8, own_keys: impl Fn(Create) -> Option<KeyId>) -> Self {
        let client = |create| Client {
            calls: 0,
            told: Vec::new(),
            call: None,
            next: Next::Call(own_keys(create)),
        };
        Self {
            clients: (0..creates).map(client).collect(),
            loose: Vec::new(),
            polytomic: Polytomic::default(),
        }
    }

    /// Returns what is wrong: what of a promise is broken.
    pub(super) fn broken(&self, promise: Promise) -> Option<&'static str> {
        let made = &self.polytomic.shares;
        for (create, client) in (0..).zip(&self.clients) {
            let shares = made.iter().filter(|share| share.0 == create).count();
            if shares > 1 {
                return Some("two shares exist");
            }
            if promise == Promise::OneShare {
                continue;
            }
            for (call, claim) in (0..).zip(&client.told) {
                match claim {
                    Claim::Made if shares == 0 => {
                        return Some("OK, but there is no share");
                    }
                    Claim::NotMade if made.contains(&(create, call)) => {
                        return Some("NOT_SENT or REJECTED, but the share exists");
                    }
                    Claim::OfAnother => {
                        return Some("OK, with the share of another create");
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Leaves a request to the network.
    pub(super) fn let_loose(&mut self, request: Request) {
        if let Err(at) = self.loose.binary_search(&request) {
            self.loose.insert(at, request);
        }
    }
}

impl Polytomic {
    pub(super) fn record(&self, key: Scope) -> Option<Progress> {
        let mut records = self.records.iter();
        records.find(|record| record.0 == key).map(|record| record.1)
    }

    /// Replaces what is recorded for a key.
    pub(super) fn set(&mut self, key: Scope, progress: Option<Progress>) {
        self.records.retain(|record| record.0 != key);
        self.records.extend(progress.map(|progress| (key, progress)));
        self.records.sort_unstable_by_key(|record| record.0);
    }
}

impl Rpc {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, endings: Vec::new(), renewed: false, phase: Phase::Unsent }
    }
}
