//! A body that ends at a moment, whether or not it is read then.
//!
//! The reader of a stream pauses while its client does. A deadline that passes meanwhile
//! must not wait for the next read to free the connection to Polytomic.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Error, exchange::Body};

/// A body, until its moment.
pub(super) struct Expiring {
    body: Arc<Mutex<Option<Body>>>,
    timer: JoinHandle<()>,
}

impl Expiring {
    pub(super) fn new(body: Body, at: Instant) -> Self {
        let body = Arc::new(Mutex::new(Some(body)));
        let expiring = Arc::clone(&body);
        let timer = tokio::spawn(async move {
            sleep_until(at).await;
            lock(&expiring).take();
        });
        Self { body, timer }
    }
}

impl http_body::Body for Expiring {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *lock(&self.body) {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err(Error::Timeout))),
        }
    }
}

impl Drop for Expiring {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

fn lock(body: &Mutex<Option<Body>>) -> MutexGuard<'_, Option<Body>> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}
