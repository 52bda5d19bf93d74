//! The body of a stream of requests, which has no end of its own.
//!
//! Reflection is asked this way. What comes must keep coming, and is bounded,
//! so that nobody holds a place by saying nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::budget::Reservation;

/// A body that ends with a status if it stops or has too much to say.
#[derive(Debug)]
pub(super) struct LimitedBody<B> {
    body: B,
    place: Arc<Reservation>,
    received: usize,
    most: usize,
    pause: Duration,
    waited: Pin<Box<Sleep>>,
}

impl<B> LimitedBody<B> {
    /// Bounds a body to so many bytes, and the wait for each of its frames.
    pub(super) fn new(
        body: B,
        place: Arc<Reservation>,
        most: usize,
        pause: Duration,
    ) -> Self {
        let waited = Box::pin(sleep(pause));
        Self { body, place, received: 0, most, pause, waited }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for LimitedBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(this.waited.as_mut().poll(context));
            let problem = "the next request did not come in time";
            return Poll::Ready(Some(Err(Status::deadline_exceeded(problem))));
        };
        this.waited.as_mut().reset(Instant::now() + this.pause);
        let Some(frame) = frame else { return Poll::Ready(None) };
        let Ok(frame) = frame else {
            let problem = "the requests were cut off";
            return Poll::Ready(Some(Err(Status::cancelled(problem))));
        };
        this.received += frame.data_ref().map_or(0, Bytes::len);
        if this.received > this.most || !this.place.resize(this.received) {
            let problem = "one stream has asked too much";
            return Poll::Ready(Some(Err(Status::resource_exhausted(problem))));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody};
    use tonic::Code;

    use super::*;
    use crate::budget::{FairShare, SharedCapacity};

    const PAUSE: Duration = Duration::from_secs(10);

    fn place() -> Arc<Reservation> {
        Arc::new(
            SharedCapacity::new(
                1,
                FairShare { floor: 1, reserved: 0, guaranteed: 1 },
                4096,
            )
            .try_reserve()
            .unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_ended() {
        let one = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"one")));
        let body = StreamBody::new(stream::iter([one]).chain(stream::pending()));
        let mut body = LimitedBody::new(body, place(), 100, PAUSE);
        tokio::time::advance(PAUSE / 2).await;
        let started = Instant::now();
        body.frame().await.unwrap().unwrap();
        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(started.elapsed() >= PAUSE);
        assert!(started.elapsed() < PAUSE + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_body_that_goes_on_and_on_is_ended() {
        let full = |bytes| Full::new(Bytes::from(vec![0; bytes]));
        let body = LimitedBody::new(full(100), place(), 100, PAUSE);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 100);
        let body = LimitedBody::new(full(101), place(), 100, PAUSE);
        let status = body.collect().await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
}
