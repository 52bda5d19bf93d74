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
}
