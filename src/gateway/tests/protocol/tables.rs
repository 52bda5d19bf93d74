//! The searches, by what they must find.

use super::scenario::{Also, Fault, Habit, Ids, Promise, Proxy, Scenario};

const SMALLEST: Scenario = Scenario::SMALLEST;

/// The promises of README.md, row by row. Nothing may be broken.
///
/// With each, the origins that its keys must have, lest it search something else.
pub(super) const PROMISES: [(&[&str], Scenario); 13] = [
    (
        &["derived"],
        Scenario {
            name: "the gateway retries: 3 attempts",
            attempts: 3,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["derived"],
        Scenario {
            name: "the gateway retries, and the network doubles requests: 3 attempts",
            attempts: 3,
            also: &[Also::Doubled],
            ..SMALLEST
        },
    ),
    (
        &["derived"],
        Scenario {
            name: "the gateway retries, its credentials are rotated, and Polytomic records by credentials: 3 attempts",
            attempts: 3,
            also: &[Also::Rotated, Also::RecordsByCredentials, Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["given"],
        Scenario {
            name: "a client has its own key: 3 RPCs, 2 attempts each",
            calls: 3,
            own_key: true,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["given"],
        Scenario {
            name: "a client has its own key: 2 RPCs, 2 tries of its library each, 2 streams of a proxy each, 2 attempts each",
            calls: 2,
            own_key: true,
            tries: 2,
            sends: 2,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["given"],
        Scenario {
            name: "a client has its own key, its library hedges, and the network doubles requests: 2 tries, 2 attempts each",
            promise: Promise::OneShare,
            own_key: true,
            tries: 2,
            hedges: true,
            attempts: 2,
            also: &[Also::RejectedEarly, Also::Doubled],
            ..SMALLEST
        },
    ),
    (
        &["derived"],
        Scenario {
            name: "a proxy sends a stream again, and counts: 3 streams, 2 attempts each",
            sends: 3,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["derived"],
        Scenario {
            name: "a proxy sends a stream again, and does not count: 3 streams, 2 attempts each",
            sends: 3,
            proxy: Proxy::ShowsItself,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["derived", "given"],
        Scenario {
            name: "a client has no key: 2 RPCs, 2 tries of its library each, 2 streams of a sidecar each, 2 attempts each",
            calls: 2,
            tries: 2,
            sends: 2,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["derived"],
        Scenario {
            name: "a client has no key, and its library hedges behind a sidecar: 3 tries, 2 attempts each",
            promise: Promise::OneShare,
            tries: 3,
            hedges: true,
            attempts: 2,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["fresh", "given"],
        Scenario {
            name: "a client has no key, and there is no `x-request-id`: 2 RPCs, 2 tries each, 2 streams each",
            calls: 2,
            tries: 2,
            sends: 2,
            ids: Ids::None,
            also: &[Also::RejectedEarly],
            ..SMALLEST
        },
    ),
    (
        &["fresh"],
        Scenario {
            name: "two creates have one message, and one placeholder as `x-request-id`: 2 streams each",
            creates: 2,
            sends: 2,
            ids: Ids::Placeholder,
            ..SMALLEST
        },
    ),
    (
        &["given"],
        Scenario {
            name: "two creates have one message, each its own key: 2 RPCs each",
            creates: 2,
            calls: 2,
            own_key: true,
            ..SMALLEST
        },
    ),
];

/// The rules of the gateway, each broken on purpose. Each must be found.
pub(super) const FAULTS: [Scenario; 12] = [
    Scenario {
        name: "a derived key counts as the client's own, and marked retries are let through",
        tries: 2,
        fault: Some(Fault::OldRule),
        ..SMALLEST
    },
    Scenario {
        name: "a derived key counts as the client's own",
        calls: 2,
        fault: Some(Fault::DerivedAsGiven),
        ..SMALLEST
    },
    Scenario {
        name: "marked retries are let through without a key",
        tries: 2,
        fault: Some(Fault::MarkedRetriesAdmitted),
        ..SMALLEST
    },
    Scenario {
        name: "a marked retry does not start as UNKNOWN",
        own_key: true,
        tries: 2,
        fault: Some(Fault::MarksForgotten),
        ..SMALLEST
    },
    Scenario {
        name: "a counted stream does not start as UNKNOWN",
        sends: 2,
        fault: Some(Fault::MarksForgotten),
        ..SMALLEST
    },
    Scenario {
        name: "each attempt has another key",
        attempts: 2,
        fault: Some(Fault::KeyPerAttempt),
        ..SMALLEST
    },
    Scenario {
        name: "newer credentials follow an attempt in doubt",
        attempts: 2,
        also: &[Also::Rotated, Also::RecordsByCredentials],
        fault: Some(Fault::RenewsInDoubt),
        ..SMALLEST
    },
    Scenario {
        name: "a timeout after the request was sent is NOT_SENT",
        fault: Some(Fault::TimeoutAsUnsent),
        ..SMALLEST
    },
    Scenario {
        name: "409 is REJECTED",
        also: &[Also::Doubled],
        fault: Some(Fault::ConflictAsRejected),
        ..SMALLEST
    },
    Scenario {
        name: "only the last attempt counts",
        attempts: 2,
        fault: Some(Fault::DoubtForgotten),
        ..SMALLEST
    },
    Scenario {
        name: "a 500 of a proxy counts as recorded by Polytomic",
        calls: 2,
        fault: Some(Fault::ProxyFailureAsRecorded),
        ..SMALLEST
    },
    Scenario {
        name: "a placeholder derives a key",
        creates: 2,
        ids: Ids::Placeholder,
        fault: Some(Fault::PlaceholderAsSeed),
        ..SMALLEST
    },
];

/// What the gateway cannot promise. Each must be found, or the page asks for too much.
pub(super) const LIMITS: [Scenario; 9] = [
    Scenario {
        name: "a client without a key repeats an RPC in doubt",
        habit: Habit::AlwaysRepeats,
        calls: 2,
        ..SMALLEST
    },
    Scenario {
        name: "24 hours pass: Polytomic forgets a key",
        calls: 2,
        own_key: true,
        also: &[Also::Forgotten],
        ..SMALLEST
    },
    Scenario {
        name: "a client lists after UNKNOWN, finds no share, and uses a new key",
        habit: Habit::ListsOnly,
        calls: 2,
        own_key: true,
        ..SMALLEST
    },
    Scenario {
        name: "a client takes NOT_SENT or REJECTED of its second RPC for the first one, and uses a new key",
        habit: Habit::TrustsLastOutcome,
        calls: 3,
        own_key: true,
        ..SMALLEST
    },
    Scenario {
        name: "a proxy sends a stream again, and nothing shows that it is there",
        sends: 2,
        proxy: Proxy::Hides,
        ..SMALLEST
    },
    Scenario {
        name: "a client library hedges",
        own_key: true,
        tries: 2,
        hedges: true,
        ..SMALLEST
    },
    Scenario {
        name: "a proxy behind the gateway sends a request again, and passes on a 403 or 429",
        also: &[Also::Doubled, Also::RejectedEarly],
        ..SMALLEST
    },
    Scenario {
        name: "Polytomic rejects a create in its own format, and does not record that",
        attempts: 2,
        also: &[Also::RejectionsUnrecorded],
        ..SMALLEST
    },
    Scenario {
        name: "Polytomic records by credentials, and two gateways have different ones",
        calls: 2,
        own_key: true,
        also: &[Also::Rotated, Also::RotatedElsewhere, Also::RecordsByCredentials],
        ..SMALLEST
    },
];
