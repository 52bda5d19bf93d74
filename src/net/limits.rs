//! The limits of a connection, each with its reason.
//!
//! Every limit of HTTP/2 is set here, since a library's defaults may change.

use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;

/// What an operator can set. `config` has the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time to keep serving with health `NOT_SERVING`, so that load balancers stop
    /// sending RPCs.
    pub lame_duck: Duration,
    /// Maximum time for RPCs in flight after that; then connections close.
    pub drain_limit: Duration,
    /// Time until a connection gets GOAWAY, plus or minus 10 % (gRFC A9). Zero: never.
    pub max_connection_age: Duration,
    /// Maximum time for RPCs in flight after GOAWAY. Zero: no limit.
    pub max_connection_age_grace: Duration,
    /// Time without RPCs, up to twice that, until a connection gets GOAWAY. Zero: never.
    pub max_connection_idle: Duration,
    /// Maximum time for a new connection to send the HTTP/2 preface, TLS included.
    pub handshake_timeout: Duration,
    /// Maximum concurrent connections of one address. Zero: no limit.
    pub max_connections_per_address: usize,
    /// Time, up to twice that, for which a response may stay unread.
    pub write_timeout: Duration,
}

/// Maximum open streams of a connection: what gRPC clients expect. More would only
/// help a flood.
const STREAMS: u32 = 100;

/// Maximum bytes of a request's metadata, as in other gRPC implementations: enough for
/// the largest credential (8 KiB) and the rest. Bounds CONTINUATION frames too
/// (RUSTSEC-2024-0332).
const HEADER_LIST: u32 = 16 * 1024;

/// Maximum bytes that the server keeps for the compression of a peer's headers:
/// HTTP/2's initial value (RFC 9113, section 6.5.2).
const HEADER_TABLE: u32 = 4096;

/// Maximum bytes of a frame: HTTP/2's minimum. In larger frames RPCs would wait for
/// each other.
const FRAME: u32 = 16 * 1024;

/// Maximum bytes in flight from a peer on a stream: about the largest request, and
/// HTTP/2's initial value.
const STREAM_WINDOW: u32 = 65_535;

/// Maximum bytes in flight from a peer on a connection: four of the largest requests.
/// A peer can make the server hold this much for streams that it does not read yet.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Maximum bytes of a response in a stream's buffer, for a peer that reads slowly.
const SEND_BUFFER: usize = 256 * 1024;

/// Maximum streams that a peer may reset before h2 has handed them out; then the
/// connection ends. A connection reads fewer in one turn, so that a burst of cancelled
/// RPCs does not reach it. `net/resets.rs` limits the resets that last (CVE-2023-44487).
const PENDING_RESETS: usize = 200;

/// Maximum streams that the server resets for errors of the peer; then the connection
/// ends (RUSTSEC-2024-0003). Correct peers cause none.
const ERROR_RESETS: usize = 1024;

/// Maximum time from the preface to the first RPC. A client connects in order to send
/// one. Health checks are RPCs, and a pool that connects early connects again.
pub(super) const FIRST_RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two PINGs of the server.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Maximum time for the response to a PING. The connection of a peer that is gone
/// closes after at most 50 s, so that its reservations are released.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Spread of the maximum age, so that connections of one moment, such as a restart,
/// do not all end in one moment (gRFC A9).
const AGE_JITTER: f64 = 0.1;

/// Returns a builder with every limit of HTTP/2 set.
pub(super) fn http2<E>(executor: E) -> Builder<E> {
    let mut builder = Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .header_table_size(HEADER_TABLE)
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

/// Returns `age` plus or minus up to 10 %, for a `random` from 0 to 1.
pub(super) fn jittered(age: Duration, random: f64) -> Duration {
    age.mul_f64(1.0 + AGE_JITTER * (2.0 * random - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_at_most_10_percent() {
        let age = Duration::from_secs(100);
        assert_eq!(jittered(age, 0.0), Duration::from_secs(90));
        assert_eq!(jittered(age, 0.5), age);
        assert_eq!(jittered(age, 1.0), Duration::from_secs(110));
    }
}
