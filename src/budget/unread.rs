//! Response data that clients have not read yet.
//!
//! HTTP/2 lets a client read a response when it likes, stream by stream. A client
//! that never reads would keep the data, and their reservation, for ever.

use std::{
    any::Any,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::sleep;
use tonic::body::Body;
use tower::BoxError;

/// The unread data of one connection, counted by the round in which they were sent:
/// this one, the last, and the one before.
#[derive(Debug, Clone, Default)]
pub struct UnreadResponses(Arc<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    current: AtomicUsize,
    unread: [AtomicUsize; 3],
    /// Whether the peer has read from a full socket since the last look.
    reads: AtomicBool,
}

impl UnreadResponses {
    /// Completes once data have been unread for `limit`, and before twice that. After
    /// [`renew`](Self::renew) it takes twice `limit` to four times that. A look per round
    /// keeps timers out of the way of RPCs.
    pub(crate) async fn overdue(&self, limit: Duration) {
        let mut renewed = false;
        loop {
            sleep(limit).await;
            // All data count as of this round, also those of the last: neither this look
            // nor the next ends a round.
            let reads = self.0.reads.swap(false, Relaxed);
            if mem::replace(&mut renewed, reads) || reads {
                continue;
            }
            let current = self.0.current.fetch_add(1, Relaxed) + 1;
            // In a circle of three, the round before the last is the next.
            if self.0.unread_of(current + 1).load(Relaxed) > 0 {
                return;
            }
        }
    }

    /// Counts all data as unread since now: their peer has read from a full socket, for
    /// which all of them wait.
    pub(crate) fn renew(&self) {
        self.0.reads.store(true, Relaxed);
    }

    /// Returns a body whose data hold `reservation` until the client has read them.
    pub(crate) fn watch<B, R>(&self, body: B, reservation: Arc<R>) -> Body
    where
        R: Send + Sync + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let unread = self.clone();
        Body::new(body.map_frame(move |frame| {
            frame.map_data(|bytes| {
                // hyper and h2 drop the bytes once the socket or the connection's batch
                // has them, which holds memory for itself.
                let unread = unread.hold(Arc::clone(&reservation));
                Bytes::from_owner(Owner { bytes, _unread: unread })
            })
        }))
    }

    /// Returns a count of the data of a stream, which hold `reservation`.
    pub(crate) fn stream<R: Send + Sync + 'static>(
        &self,
        reservation: Arc<R>,
    ) -> UnreadStream {
        UnreadStream { unread: self.clone(), reservation, data: Weak::new() }
    }

    /// Counts a piece of data as unread, and holds its `reservation`, while the result
    /// lives.
    pub(crate) fn hold<R: Send + Sync + 'static>(
        &self,
        reservation: Arc<R>,
    ) -> UnreadData {
        let mut data = self.count();
        data.reservation = Some(reservation);
        data
    }

    /// Counts a piece of data as unread while the result lives.
    pub(crate) fn count(&self) -> UnreadData {
        let round = self.0.current.load(Relaxed);
        self.0.unread_of(round).fetch_add(1, Relaxed);
        let round = AtomicUsize::new(round);
        UnreadData { rounds: Arc::clone(&self.0), round, reservation: None }
    }
}

impl Rounds {
    fn unread_of(&self, round: usize) -> &AtomicUsize {
        &self.unread[round % self.unread.len()]
    }
}

/// Bytes that the client has not read while this lives.
struct Owner {
    bytes: Bytes,
    _unread: UnreadData,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A piece of data that counts as unread in its round, and holds its reservation, while
/// this lives.
#[derive(Debug)]
pub(crate) struct UnreadData {
    rounds: Arc<Rounds>,
    round: AtomicUsize,
    reservation: Option<Arc<dyn Any + Send + Sync>>,
}

impl UnreadData {
    /// Counts the data as unread since now.
    pub(crate) fn renew(&self) {
        let current = self.rounds.current.load(Relaxed);
        if self.round.load(Relaxed) != current {
            self.rounds.unread_of(current).fetch_add(1, Relaxed);
            let before = self.round.swap(current, Relaxed);
            self.rounds.unread_of(before).fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for UnreadData {
    fn drop(&mut self) {
        self.rounds.unread_of(*self.round.get_mut()).fetch_sub(1, Relaxed);
    }
}

/// The data of a stream. They count together, since when the client last read any of
/// them: one piece waits until the client has read the piece before it.
#[derive(Debug)]
pub(crate) struct UnreadStream {
    unread: UnreadResponses,
    reservation: Arc<dyn Any + Send + Sync>,
    /// The pieces that are unread, if there are any.
    data: Weak<UnreadData>,
}

impl UnreadStream {
    /// Counts another piece of data as unread, and holds its reservation, while the result
    /// lives.
    pub(crate) fn hold(&mut self) -> Arc<UnreadData> {
        self.data.upgrade().unwrap_or_else(|| {
            let mut data = self.unread.count();
            data.reservation = Some(Arc::clone(&self.reservation));
            let data = Arc::new(data);
            self.data = Arc::downgrade(&data);
            data
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body_util::Full;
    use tokio::time::{Instant, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn data(unread: &UnreadResponses, reservation: &Arc<()>) -> Bytes {
        let body = Full::new(Bytes::from_static(b"data"));
        let mut body = unread.watch(body, Arc::clone(reservation));
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn response_that_is_not_read_is_overdue() {
        let unread = UnreadResponses::default();
        for wait in [Duration::ZERO, LIMIT / 3, LIMIT] {
            let watching = tokio::spawn({
                let unread = unread.clone();
                async move { unread.overdue(LIMIT).await }
            });
            sleep(wait).await;
            let sent = Instant::now();
            let data = data(&unread, &Arc::default()).await;
            watching.await.unwrap();
            assert!(sent.elapsed() >= LIMIT, "{:?}", sent.elapsed());
            assert!(sent.elapsed() <= 2 * LIMIT, "{:?}", sent.elapsed());
            assert_eq!(data, "data");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn responses_that_are_read_are_never_overdue() {
        let unread = UnreadResponses::default();
        let watched = unread.clone();
        let mut watching = tokio::spawn(async move { watched.overdue(LIMIT).await });
        for _ in 0..100 {
            let data = data(&unread, &Arc::default()).await;
            assert!(timeout(LIMIT * 9 / 10, &mut watching).await.is_err());
            drop(data);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn data_behind_a_full_socket_are_overdue_once_its_peer_does_not_read() {
        for pause in [LIMIT / 3, LIMIT * 9 / 10, LIMIT * 19 / 10] {
            let unread = UnreadResponses::default();
            let _data = data(&unread, &Arc::default()).await;
            let mut watching = tokio::spawn({
                let unread = unread.clone();
                async move { unread.overdue(LIMIT).await }
            });
            for _ in 0..100 {
                unread.renew();
                assert!(timeout(pause, &mut watching).await.is_err(), "{pause:?}");
            }
            unread.renew();
            let read = Instant::now();
            watching.await.unwrap();
            assert!(read.elapsed() >= 2 * LIMIT, "{:?}", read.elapsed());
            assert!(read.elapsed() <= 4 * LIMIT, "{:?}", read.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stream_is_overdue_only_if_none_of_its_pieces_is_read() {
        let unread = UnreadResponses::default();
        let mut stream = unread.stream(Arc::new(()));
        let mut pieces = vec![stream.hold(), stream.hold()];
        let mut watching = tokio::spawn({
            let unread = unread.clone();
            async move { unread.overdue(LIMIT).await }
        });
        for _ in 0..100 {
            assert!(timeout(LIMIT * 9 / 10, &mut watching).await.is_err());
            pieces[0].renew();
        }
        pieces.remove(0);
        pieces.push(stream.hold());
        let read = Instant::now();
        watching.await.unwrap();
        assert!(read.elapsed() >= LIMIT, "{:?}", read.elapsed());
        assert!(read.elapsed() <= 2 * LIMIT, "{:?}", read.elapsed());
        drop(pieces);
        timeout(100 * LIMIT, unread.overdue(LIMIT)).await.unwrap_err();
    }

    #[tokio::test]
    async fn reservation_ends_when_the_last_byte_is_read() {
        let reservation = Arc::default();
        let mut data = data(&UnreadResponses::default(), &reservation).await;
        let is_held = || Arc::strong_count(&reservation) > 1;
        assert!(is_held());
        let head = data.split_to(2);
        drop(data);
        assert!(is_held());
        drop(head);
        assert!(!is_held());
    }
}
