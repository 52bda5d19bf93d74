//! Answers that their peer has not taken yet.
//!
//! HTTP/2 lets a peer take an answer when it likes, stream by stream. Whoever
//! never does would keep what it was given, and the place of it, for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::sleep;
use tonic::body::Body;

use tower::BoxError;

/// The answers of one connection, counted by the round in which they were given:
/// those of this one, of the last and of the one before it.
#[derive(Debug, Clone, Default)]
pub struct UnreadResponses(Arc<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    now: AtomicUsize,
    answers: [AtomicUsize; 3],
}

impl UnreadResponses {
    /// Completes when an answer has not been taken for `limit`, and before twice
    /// that. Looking once in a while keeps timers out of the way of RPCs.
    pub(crate) async fn overdue(&self, limit: Duration) {
        loop {
            sleep(limit).await;
            let now = self.0.now.fetch_add(1, Relaxed) + 1;
            // In a circle of three the round before the last is the next.
            if self.0.of(now + 1).load(Relaxed) > 0 {
                return;
            }
        }
    }

    /// Makes a body whose data keep their place until the peer has taken them.
    pub(crate) fn watch<B, P>(&self, body: B, place: Arc<P>) -> Body
    where
        P: Send + Sync + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let unread = self.clone();
        Body::new(body.map_frame(move |frame| {
            frame.map_data(|bytes| {
                // hyper and h2 drop the bytes once they are written.
                let count = unread.count();
                let place = Arc::clone(&place);
                Bytes::from_owner(Data { bytes, _count: count, _place: place })
            })
        }))
    }

    fn count(&self) -> Count {
        let round = self.0.now.load(Relaxed);
        self.0.of(round).fetch_add(1, Relaxed);
        Count { rounds: Arc::clone(&self.0), round }
    }
}

impl Rounds {
    fn of(&self, round: usize) -> &AtomicUsize {
        &self.answers[round % self.answers.len()]
    }
}

/// Data that the peer has not taken while this lives.
struct Data<P> {
    bytes: Bytes,
    _count: Count,
    _place: Arc<P>,
}

impl<P> AsRef<[u8]> for Data<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Count {
    rounds: Arc<Rounds>,
    round: usize,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.rounds.of(self.round).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body_util::Full;
    use tokio::time::{Instant, timeout};

    use super::super::{FairShare, SharedCapacity};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn places(most: usize) -> SharedCapacity {
        SharedCapacity::new(
            most,
            FairShare { floor: 1, reserved: 1, guaranteed: 1 },
            4096,
        )
    }

    async fn data(unread: &UnreadResponses, places: &SharedCapacity) -> Bytes {
        let place = Arc::new(places.try_reserve().unwrap());
        let mut body = unread.watch(Full::new(Bytes::from_static(b"data")), place);
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_overdue() {
        let unread = UnreadResponses::default();
        for wait in [Duration::ZERO, LIMIT / 3, LIMIT] {
            let watching = tokio::spawn({
                let unread = unread.clone();
                async move { unread.overdue(LIMIT).await }
            });
            sleep(wait).await;
            let given = Instant::now();
            let data = data(&unread, &places(1)).await;
            watching.await.unwrap();
            assert!(given.elapsed() >= LIMIT, "{:?}", given.elapsed());
            assert!(given.elapsed() <= 2 * LIMIT, "{:?}", given.elapsed());
            assert_eq!(data, "data");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_taken_are_never_overdue() {
        let unread = UnreadResponses::default();
        let watched = unread.clone();
        let mut watching = tokio::spawn(async move { watched.overdue(LIMIT).await });
        for _ in 0..100 {
            let data = data(&unread, &places(1)).await;
            assert!(timeout(LIMIT * 9 / 10, &mut watching).await.is_err());
            drop(data);
        }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_the_last_byte_is_taken() {
        let places = places(2);
        let mut data = data(&UnreadResponses::default(), &places).await;
        let is_free = || places.try_reserve().is_some();
        assert!(!is_free());
        let head = data.split_to(2);
        drop(data);
        assert!(!is_free());
        drop(head);
        assert!(is_free());
    }
}
