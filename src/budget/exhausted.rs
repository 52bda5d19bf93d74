//! Why a reservation was rejected.

/// The limit that a reservation would exceed, in total or for its client.
///
/// The text names the flag that raises the limit, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Exhausted {
    /// Requests whose message has not arrived yet, and their bytes.
    #[error("limit of requests being received reached")]
    Receiving,
    /// The same for health checks and reflection.
    #[error("limit of health and reflection requests reached")]
    Auxiliary,
    /// Bytes of large metadata.
    #[error("limit of large request metadata reached")]
    Metadata,
    /// Watches on the health of a service.
    #[error("limit of health watches reached")]
    Watches,
    /// RPCs without a response yet.
    #[error("limit of concurrent RPCs reached (--max-in-flight)")]
    InFlight,
    /// RPCs that are in flight or whose response the client has not read yet.
    #[error("limit of unread responses reached (3 times --max-in-flight)")]
    OpenRpcs,
    /// Bytes of responses that are being received or not yet read.
    #[error("memory for responses in use (--answer-memory)")]
    ResponseMemory,
    /// A response that would never fit, whatever others hold.
    #[error("the response needs more than {largest} bytes of memory (--answer-memory)")]
    TooLarge {
        /// Maximum bytes of one response: its JSON and its message together.
        largest: usize,
    },
    /// As [`InFlight`](Self::InFlight), for one key.
    #[error("this client has {held} RPCs in flight, its share of --max-in-flight")]
    InFlightOfKey {
        /// The RPCs of the key.
        held: usize,
    },
    /// As [`OpenRpcs`](Self::OpenRpcs), for one key.
    #[error(
        "this client has {held} RPCs in flight or with unread responses, its share of 3 \
         times --max-in-flight"
    )]
    OpenRpcsOfKey {
        /// The RPCs of the key.
        held: usize,
    },
    /// As [`ResponseMemory`](Self::ResponseMemory), for one key.
    #[error("this client's responses hold {bytes} bytes, its share of --answer-memory")]
    ResponseMemoryOfKey {
        /// What the responses of the key hold.
        bytes: usize,
    },
}

impl Exhausted {
    /// The name of every budget that may have no room.
    pub const BUDGETS: [&str; 7] = [
        "receiving",
        "auxiliary",
        "metadata",
        "watches",
        "in_flight",
        "open_rpcs",
        "response_memory",
    ];

    /// Returns the name of the budget.
    #[must_use]
    pub const fn budget(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Auxiliary => "auxiliary",
            Self::Metadata => "metadata",
            Self::Watches => "watches",
            Self::InFlight | Self::InFlightOfKey { .. } => "in_flight",
            Self::OpenRpcs | Self::OpenRpcsOfKey { .. } => "open_rpcs",
            Self::ResponseMemory
            | Self::TooLarge { .. }
            | Self::ResponseMemoryOfKey { .. } => "response_memory",
        }
    }

    /// Returns the same for a key that holds `held` units of `unit` bytes. Without any,
    /// others hold them all.
    pub(super) fn for_key(self, held: usize, unit: usize) -> Self {
        match self {
            Self::InFlight if held > 0 => Self::InFlightOfKey { held },
            Self::OpenRpcs if held > 0 => Self::OpenRpcsOfKey { held },
            Self::ResponseMemory if held > 0 => {
                Self::ResponseMemoryOfKey { bytes: held.saturating_mul(unit) }
            }
            other => other,
        }
    }
}
