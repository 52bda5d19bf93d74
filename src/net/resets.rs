//! Limits how often a peer may reset streams.
//!
//! A stream that is opened and reset at once costs its peer nothing and the server a task
//! (rapid reset, CVE-2023-44487). But clients that cancel send a burst of resets too, in
//! one write: a deadline that a hundred RPCs share, or a user who leaves. So a burst is
//! allowed, and a lasting rate is not. h2 limits only resets of streams that it has not
//! handed out yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use super::goaway::{Ending, Goaway};

/// Maximum resets at once: all streams of a connection, five times.
const BURST: u32 = 500;

/// The time after which one reset no longer counts. So a connection may have 200 per
/// second for as long as it likes, twice its streams: about 1 % of a processor.
const FORGOTTEN_AFTER: Duration = Duration::from_millis(5);

/// The type of `HEADERS` (RFC 9113, section 6.2).
const HEADERS: u8 = 1;

/// The bits of a frame's header that are the stream (RFC 9113, section 4.1).
const STREAM_ID: u32 = 0x7fff_ffff;

/// The type of `RST_STREAM` (RFC 9113, section 6.4).
const RST_STREAM: u8 = 3;

/// Bytes of a frame's header (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// Reads from `reader`, and fails if the frames in it reset too many streams.
#[derive(Debug)]
pub(super) struct ResetLimiter<R> {
    reader: R,
    frames: Frames,
    resets: Resets,
    goaway: Goaway,
}

impl<R> ResetLimiter<R> {
    /// Makes a limiter of a reader that begins with a frame. Sets `goaway` if it fails.
    pub(super) fn new(reader: R, goaway: Goaway) -> Self {
        let resets = Resets { counted: 0, at: Instant::now() };
        Self { reader, frames: Frames::default(), resets, goaway }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for ResetLimiter<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.reader).poll_read(context, buffer);
        let resets = this.frames.resets_in(&buffer.filled()[before..]);
        this.goaway.opened(this.frames.last_stream);
        if resets > 0 && !this.resets.allow(resets, Instant::now()) {
            this.goaway.set(Ending::TooManyResets);
            return Poll::Ready(Err(io::Error::other("too many streams were reset")));
        }
        polled
    }
}

/// Follows the frames of a connection.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a frame's header.
    header: [u8; HEADER],
    /// The bytes of it that have come.
    filled: usize,
    /// The bytes of the payload that are still to come.
    payload: usize,
    /// The last stream that the peer has opened.
    last_stream: u32,
}

impl Frames {
    /// Returns how many of the frames whose header ends in `bytes` reset a stream.
    fn resets_in(&mut self, mut bytes: &[u8]) -> u32 {
        let mut resets = 0;
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                let [a, b, c, kind, _, stream @ ..] = self.header;
                self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
                self.filled = 0;
                if kind == HEADERS {
                    // Trailers are on a stream that is not the last, or on the same.
                    let stream = u32::from_be_bytes(stream) & STREAM_ID;
                    self.last_stream = self.last_stream.max(stream);
                }
                resets += u32::from(kind == RST_STREAM);
            }
        }
        resets
    }
}

/// The resets of a connection that still count.
#[derive(Debug)]
struct Resets {
    counted: u32,
    /// When the last one was forgotten.
    at: Instant,
}

impl Resets {
    /// Counts `resets`, and reports whether the peer may have as many.
    fn allow(&mut self, resets: u32, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_nanos();
        let forgotten = passed / FORGOTTEN_AFTER.as_nanos();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        let left = self.counted.saturating_sub(forgotten);
        self.counted = left + resets;
        // Not always now: the rest of the time counts next time.
        self.at = if left == 0 { now } else { self.at + FORGOTTEN_AFTER * forgotten };
        self.counted <= BURST
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::AsyncReadExt;

    use super::*;

    /// Returns a frame of stream 257, with the reserved bit set.
    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload).unwrap().to_be_bytes();
        // A payload that looks like resets.
        [vec![a, b, c, kind, 0, 0x80, 0, 1, 1], vec![RST_STREAM; payload]].concat()
    }

    #[test]
    fn resets_are_found_between_other_frames_in_any_pieces() {
        let frames = [(0, 0), (1, 300), (RST_STREAM, 4), (6, 8), (RST_STREAM, 4), (4, 0)];
        let bytes: Vec<u8> =
            frames.iter().flat_map(|(kind, payload)| frame(*kind, *payload)).collect();
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let found: u32 =
                bytes.chunks(size).map(|piece| frames.resets_in(piece)).sum();
            assert_eq!(found, 2, "pieces of {size} bytes");
            assert_eq!(frames.last_stream, 257, "pieces of {size} bytes");
        }
    }

    #[test]
    fn burst_is_allowed_and_a_lasting_rate_is_not() {
        let start = Instant::now();
        let resets = || Resets { counted: 0, at: start };
        assert!(resets().allow(BURST, start));
        assert!(!resets().allow(BURST + 1, start));

        let rounds = |per_second: u32| {
            let mut resets = resets();
            let each = Duration::from_secs(1) / per_second;
            (1..=100_000).find(|round| !resets.allow(1, start + each * *round))
        };
        assert_eq!(rounds(200), None);
        // Twice the rate lasts for twice the burst.
        assert!((990..=1010).contains(&rounds(400).unwrap()));
        assert!((500..=510).contains(&rounds(25_000).unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn reader_fails_after_too_many_resets() {
        let goaway = Goaway::default();
        let bytes = frame(RST_STREAM, 4).repeat(BURST as usize + 1);
        let mut limiter = ResetLimiter::new(&bytes[..], goaway.clone());
        let mut allowed = vec![0; bytes.len() - 13];
        limiter.read_exact(&mut allowed).await.unwrap();
        assert_eq!(goaway.get(), None);
        limiter.read_exact(&mut [0; 13]).await.unwrap_err();
        assert_eq!(goaway.get(), Some(Ending::TooManyResets));
    }
}
