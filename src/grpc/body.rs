//! The request body of a stream, which may never end. Clients send one to
//! reflection. Its limits keep a silent client from holding a reservation.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Body;
use http_body_util::{BodyStream, StreamBody};
use tower::BoxError;
use tower_http::timeout::{TimeoutBody, TimeoutError};

use super::Error;
use crate::{budget::Reservation, status::Failure};

/// Limits a body to `max_bytes`, and the wait for each frame to `timeout`. Each byte
/// received counts against `reservation`.
pub(super) fn limited<B>(
    body: B,
    reservation: Arc<Reservation>,
    max_bytes: usize,
    timeout: Duration,
) -> impl Body<Data = Bytes, Error = Failure> + Send + 'static
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut received = 0;
    let frames = BodyStream::new(TimeoutBody::new(timeout, body)).map(move |frame| {
        let frame = frame.map_err(|error| {
            if error.is::<TimeoutError>() { Error::Late } else { Error::Cancelled }
        })?;
        received += frame.data_ref().map_or(0, Bytes::len);
        if received > max_bytes {
            return Err(Error::TooLarge { limit: max_bytes }.into());
        }
        reservation.resize_to(received)?;
        Ok(frame)
    });
    StreamBody::new(frames)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::pin::pin;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full};
    use tokio::time::Instant;

    use super::*;
    use crate::budget::{Exhausted, FairShare, SharedCapacity};

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Makes a reservation that can grow to two units of 50 bytes.
    fn reservation() -> Arc<Reservation> {
        let share = FairShare { total: 2, floor: 2, reserved: 0, guaranteed: 0 };
        let capacity = SharedCapacity::new(Exhausted::Auxiliary, share, 50);
        Arc::new(capacity.try_reserve().unwrap())
    }

    fn full(bytes: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![0; bytes]))
    }

    #[tokio::test(start_paused = true)]
    async fn silent_stream_is_ended_after_the_timeout() {
        let one = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"one")));
        let body = StreamBody::new(stream::iter([one]).chain(stream::pending()));
        let mut body = pin!(limited(body, reservation(), 100, TIMEOUT));
        body.frame().await.unwrap().unwrap();
        let started = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, Failure::Grpc(Error::Late)));
        assert!(started.elapsed() >= TIMEOUT);
        assert!(started.elapsed() < TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn stream_over_its_limit_is_ended() {
        let body = limited(full(100), reservation(), 100, TIMEOUT);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 100);
        let body = limited(full(100), reservation(), 99, TIMEOUT);
        let error = body.collect().await.unwrap_err();
        assert!(matches!(error, Failure::Grpc(Error::TooLarge { limit: 99 })));
    }

    #[tokio::test]
    async fn stream_over_the_budget_is_ended() {
        let body = limited(full(101), reservation(), 200, TIMEOUT);
        let error = body.collect().await.unwrap_err();
        assert!(matches!(error, Failure::Budget(Exhausted::Auxiliary)));
    }
}
