//! A body that ends at a moment, whether or not it is read then.
//!
//! The reader of a stream pauses while its client does. A deadline that passes meanwhile
//! must not wait for the next read to free the connection to Polytomic.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::Error;

/// A body, until its moment.
pub(super) struct Expiring<B> {
    body: Arc<Mutex<Option<B>>>,
    timer: JoinHandle<()>,
}

impl<B: Send + 'static> Expiring<B> {
    pub(super) fn new(body: B, at: Instant) -> Self {
        let body = Arc::new(Mutex::new(Some(body)));
        let expiring = Arc::clone(&body);
        let timer = tokio::spawn(async move {
            sleep_until(at).await;
            lock(&expiring).take();
        });
        Self { body, timer }
    }
}

impl<B: Body<Error = Error> + Unpin> Body for Expiring<B> {
    type Data = B::Data;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Error>>> {
        match &mut *lock(&self.body) {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err(Error::Timeout))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.body).as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for Expiring<B> {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

fn lock<B>(body: &Mutex<Option<B>>) -> MutexGuard<'_, Option<B>> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}
