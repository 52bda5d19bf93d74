//! What one peer may take, each limit with its reason.
//!
//! Nothing is left to a library's defaults, which may change: a limit that is
//! not written here does not exist.

use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;

/// What an operator may set. The defaults stand with the flags in `config`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long to go on as usual once the health service says `NOT_SERVING`:
    /// the time that balancers take to look elsewhere.
    pub lame_duck: Duration,
    /// How long RPCs in flight may take to end, before their connections do.
    pub drain_limit: Duration,
    /// How long a connection is used, give or take a tenth (gRFC A9). Zero is
    /// for ever.
    pub max_connection_age: Duration,
    /// How long RPCs in flight may take to end on a connection that is too old.
    pub max_connection_age_grace: Duration,
    /// How long a connection without RPCs is kept, at least. Zero is for ever.
    pub max_connection_idle: Duration,
    /// How long a new connection may take to say that it speaks HTTP/2.
    pub handshake_timeout: Duration,
    /// How long a peer may take to take an answer, at least.
    pub write_timeout: Duration,
}

/// Streams that one connection may have open: what gRPC clients expect. Many
/// more only help a flood.
const STREAMS: u32 = 100;

/// The size of a request's metadata, as gRPC implementations have it. Room for
/// the largest credential (8 KiB) and the rest beside it. It bounds CONTINUATION
/// frames too (RUSTSEC-2024-0332).
const HEADER_LIST: u32 = 16 * 1024;

/// The memory that a peer may have us keep for its headers' compression:
/// HTTP/2's own initial value (RFC 9113, section 6.5.2).
const HEADER_TABLE: u32 = 4096;

/// HTTP/2's own least value. Greater frames only make RPCs wait for each other.
const FRAME: u32 = 16 * 1024;

/// What a stream may have in flight to us: the greatest request, about, and
/// HTTP/2's own initial value.
const STREAM_WINDOW: u32 = 65_535;

/// What a connection may: four of the greatest requests. It is also what a peer
/// can make us hold for streams that nobody reads yet.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// How much of a response waits in a stream's buffer for a peer that reads
/// slowly.
const SEND_BUFFER: usize = 256 * 1024;

/// Streams that a peer opened and reset before they were served. Past this the
/// connection ends: rapid reset (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that a peer's mistakes made us reset. Past this the connection ends
/// (RUSTSEC-2024-0003). Honest peers make none.
const ERROR_RESETS: usize = 1024;

/// A peer that answers no PING is gone: after 50 s at most its connection is
/// closed, whatever it holds.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// By how much the ages of connections differ, so that those of one moment,
/// such as a restart, do not all end in one (gRFC A9).
const AGE_JITTER: f64 = 0.1;

/// Sets every limit of HTTP/2.
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

/// Returns a length that differs from `age` by up to a tenth. `random` is from
/// 0 to 1.
pub(super) fn jittered(age: Duration, random: f64) -> Duration {
    age.mul_f64(1.0 + AGE_JITTER * (2.0 * random - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        assert_eq!(jittered(age, 0.0), Duration::from_secs(90));
        assert_eq!(jittered(age, 0.5), age);
        assert_eq!(jittered(age, 1.0), Duration::from_secs(110));
    }
}
