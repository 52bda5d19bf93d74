//! Calling back a request of which nothing has been sent yet.
//!
//! A call that is given up while there is no connection for it has had no effect,
//! and its caller should know. The HTTP client does not say how far it came, but
//! the connection that a request is written to is the only one to ask for its
//! body (hyper 1.12, `proto/h1/dispatch.rs` and `proto/h2/client.rs`), and a
//! request whose body lacks is none that could be carried out.

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

const HELD: u8 = 0;
const ASKED_FOR: u8 = 1;
const RECALLED: u8 = 2;

/// What calls a request back, if it is not too late.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<AtomicU8>);

impl CancelHandle {
    /// Keeps the request from being sent, for good. Reports whether it was not too
    /// late: else all of it may have been sent.
    #[must_use]
    pub fn recall(&self) -> bool {
        self.settle(RECALLED)
    }

    /// Lets the request be sent. Reports whether it was not too late.
    pub(super) fn release(&self) -> bool {
        self.settle(ASKED_FOR)
    }

    fn settle(&self, state: u8) -> bool {
        let order = Ordering::AcqRel;
        match self.0.compare_exchange(HELD, state, order, Ordering::Acquire) {
            Ok(_) => true,
            Err(settled) => settled == state,
        }
    }
}

/// Makes the body of a request that may be recalled.
pub(super) fn body(bytes: Bytes, recall: Option<CancelHandle>) -> reqwest::Body {
    match recall {
        Some(recall) if !bytes.is_empty() => {
            reqwest::Body::wrap(Held { bytes: Some(bytes), recall })
        }
        Some(recall) => {
            // An empty body is never asked for.
            recall.release();
            bytes.into()
        }
        None => bytes.into(),
    }
}

/// A body of one frame, which nobody gets once it has been recalled.
#[derive(Debug)]
struct Held {
    bytes: Option<Bytes>,
    recall: CancelHandle,
}

/// Why a connection gets no body. Nobody is told: whoever has recalled a request
/// does not wait for it.
#[derive(Debug, thiserror::Error)]
#[error("the request was recalled")]
struct Recalled;

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Recalled;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Recalled>>> {
        let frame = self.bytes.take().map(|bytes| {
            let is_in_time = self.recall.release();
            if is_in_time { Ok(Frame::data(bytes)) } else { Err(Recalled) }
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    /// Returns the exact length, without which HTTP/1 would send it in chunks.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    fn body(recall: &CancelHandle) -> reqwest::Body {
        super::body(Bytes::from_static(b"{}"), Some(recall.clone()))
    }

    #[tokio::test]
    async fn a_body_that_was_asked_for_is_sent_and_not_recalled() {
        let recall = CancelHandle::default();
        let mut body = body(&recall);
        assert_eq!(body.size_hint().exact(), Some(2));
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data, "{}");
        assert!(body.is_end_stream());
        assert!(!recall.recall());
    }

    #[tokio::test]
    async fn a_body_that_was_recalled_is_never_sent() {
        let recall = CancelHandle::default();
        let mut body = body(&recall);
        assert!(recall.recall());
        assert!(recall.recall());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn a_body_that_nobody_will_ask_for_cannot_be_recalled() {
        let recall = CancelHandle::default();
        assert!(super::body(Bytes::new(), Some(recall.clone())).is_end_stream());
        assert!(!recall.recall());
    }
}
