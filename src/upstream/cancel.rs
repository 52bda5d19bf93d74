//! Cancels a request before its body is sent.
//!
//! A create that times out while there is no connection for it has had no effect,
//! and its client should know. Only the connection that a request is written to reads
//! the body (`http2.rs`; hyper 1.12, `proto/h1/dispatch.rs`), and Polytomic cannot
//! carry out a request without its body.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

const WAITING: u8 = 0;
const SENDING: u8 = 1;
const CANCELLED: u8 = 2;

/// Cancels a request unless its body is being sent.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<AtomicU8>);

impl CancelHandle {
    /// Cancels the request. Reports whether it is cancelled: if not, all of it may
    /// have been sent.
    #[must_use]
    pub fn try_cancel(&self) -> bool {
        self.settle(CANCELLED)
    }

    /// Lets the request be sent. Reports whether it is not cancelled.
    pub(crate) fn start_sending(&self) -> bool {
        self.settle(SENDING)
    }

    fn settle(&self, state: u8) -> bool {
        let order = Ordering::AcqRel;
        match self.0.compare_exchange(WAITING, state, order, Ordering::Acquire) {
            Ok(_) => true,
            Err(settled) => settled == state,
        }
    }
}

/// The body of a request, in one frame. It fails once its request is cancelled.
#[derive(Debug, Clone)]
pub(super) struct RequestBody {
    bytes: Option<Bytes>,
    cancel: Option<CancelHandle>,
}

/// Why a connection gets no body. The error goes nowhere: the gateway does not wait for
/// a request that it cancelled.
#[derive(Debug, thiserror::Error)]
#[error("the request was cancelled")]
pub(super) struct Cancelled;

impl RequestBody {
    /// Makes the body of a request. One that is empty is never read, so that its request
    /// cannot be cancelled.
    pub(super) fn new(bytes: Option<Bytes>, cancel: Option<CancelHandle>) -> Self {
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        if let (None, Some(cancel)) = (&bytes, &cancel) {
            cancel.start_sending();
        }
        Self { bytes, cancel }
    }

    /// Takes the bytes to send them now, unless there are none.
    ///
    /// # Errors
    ///
    /// If the request is cancelled.
    pub(super) fn take(&mut self) -> Option<Result<Bytes, Cancelled>> {
        let bytes = self.bytes.take()?;
        let may_be_sent = self.cancel.as_ref().is_none_or(CancelHandle::start_sending);
        Some(if may_be_sent { Ok(bytes) } else { Err(Cancelled) })
    }

    /// Returns the length in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Cancelled;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cancelled>>> {
        Poll::Ready(self.take().map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    /// Returns the exact length, without which HTTP/1 would send it in chunks.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    fn body(cancel: &CancelHandle) -> RequestBody {
        RequestBody::new(Some(Bytes::from_static(b"{}")), Some(cancel.clone()))
    }

    #[tokio::test]
    async fn a_request_whose_body_was_read_cannot_be_cancelled() {
        let cancel = CancelHandle::default();
        let mut body = body(&cancel);
        assert_eq!(body.size_hint().exact(), Some(2));
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data, "{}");
        assert!(body.is_end_stream());
        assert!(!cancel.try_cancel());
    }

    #[tokio::test]
    async fn the_body_of_a_cancelled_request_is_never_sent() {
        let cancel = CancelHandle::default();
        let mut body = body(&cancel);
        assert!(cancel.try_cancel());
        assert!(cancel.try_cancel());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn a_request_with_an_empty_body_cannot_be_cancelled() {
        for bytes in [None, Some(Bytes::new())] {
            let cancel = CancelHandle::default();
            assert!(RequestBody::new(bytes, Some(cancel.clone())).is_end_stream());
            assert!(!cancel.try_cancel());
        }
    }
}
