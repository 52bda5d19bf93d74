//! Counts the streams of a connection, to detect that it is idle, and since when.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use futures_util::FutureExt;
use hyper::rt::Executor;
use tokio::time::{Instant, sleep};

/// Runs and counts the streams of a connection. hyper passes each as a future that
/// lasts from the request's headers to the last byte of the response.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    since: Instant,
    started: AtomicU64,
    open: AtomicUsize,
    /// When the last open stream ended, in milliseconds from `since`.
    ended: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        let (since, open) = (Instant::now(), AtomicUsize::default());
        Self { since, started: AtomicU64::default(), open, ended: AtomicU64::default() }
    }
}

impl Streams {
    /// Completes when no stream has been open for `limit`, at the latest after twice
    /// that. Polls, so that an RPC need not reset a timer.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let started = self.0.started.load(Relaxed);
            let open = self.open();
            sleep(limit).await;
            if open == 0 && self.0.started.load(Relaxed) == started {
                return;
            }
        }
    }

    /// Returns when the last stream ended: now, if one is open.
    pub(super) fn unused_since(&self, now: Instant) -> Instant {
        if self.open() > 0 {
            return now;
        }
        self.0.since + Duration::from_millis(self.0.ended.load(Relaxed))
    }

    /// Returns the number of open streams.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Acquire)
    }

    fn begin(&self) -> Open {
        self.0.started.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.0))
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let open = self.begin();
        // Not an async block, which would store the stream twice.
        tokio::spawn(stream.map(move |()| drop(open)));
    }
}

/// Counts a stream as open until dropped.
#[derive(Debug)]
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        let ended = self.0.since.elapsed().as_millis();
        self.0.ended.store(u64::try_from(ended).unwrap_or(u64::MAX), Relaxed);
        self.0.open.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::{
        sync::oneshot,
        time::{Instant, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn connection_without_streams_is_idle_after_the_limit() {
        let started = Instant::now();
        Streams::default().idle(LIMIT).await;
        assert!(started.elapsed() < LIMIT + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_with_an_open_stream_is_not_idle() {
        let streams = Streams::default();
        let (end, ended) = oneshot::channel::<()>();
        streams.execute(async move {
            let _ = ended.await;
        });
        assert!(timeout(100 * LIMIT, streams.idle(LIMIT)).await.is_err());
        drop(end);
        timeout(3 * LIMIT, streams.idle(LIMIT)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn connection_with_short_streams_is_not_idle() {
        let streams = Streams::default();
        let idle = streams.clone();
        let mut idle = tokio::spawn(async move { idle.idle(LIMIT).await });
        for _ in 0..100 {
            streams.execute(async {});
            assert!(timeout(LIMIT / 2, &mut idle).await.is_err());
        }
        timeout(3 * LIMIT, idle).await.unwrap().unwrap();
    }
}
