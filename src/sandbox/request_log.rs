//! The request log, for tests to assert on.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// Maximum requests kept; a load test sends more, and the oldest are dropped.
const CAPACITY: usize = 65_536;

/// A request as it arrived at the sandbox, and the status of its response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method, as sent.
    pub method: Method,
    /// The path as sent, still escaped, with the query if there is one.
    pub path: String,
    /// The headers, as sent. `authorization` only names the key: `partner`,
    /// `other-partner`, `user`, `organization` or `unknown`.
    pub headers: HeaderMap,
    /// The body, as sent; empty if it was too large to be read.
    pub body: Bytes,
    /// The status of the response: `None` before it is sent, and if it never is.
    pub status: Option<StatusCode>,
}

/// The latest requests in the order in which they arrived.
#[derive(Default)]
pub(super) struct RequestLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// The number of requests dropped before the first of `kept`.
    dropped: usize,
    kept: VecDeque<Request>,
}

/// The number of a request in the [`RequestLog`].
#[derive(Clone, Copy)]
pub(super) struct EntryId(usize);

impl RequestLog {
    pub(super) fn record(&self, request: Request) -> EntryId {
        let mut entries = self.lock();
        if entries.kept.len() == CAPACITY {
            entries.kept.pop_front();
            entries.dropped += 1;
        }
        entries.kept.push_back(request);
        EntryId(entries.dropped + entries.kept.len() - 1)
    }

    pub(super) fn record_status(&self, EntryId(id): EntryId, status: Option<StatusCode>) {
        let mut entries = self.lock();
        let Some(index) = id.checked_sub(entries.dropped) else { return };
        if let Some(request) = entries.kept.get_mut(index) {
            request.status = status;
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().kept.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        let mut entries = self.lock();
        entries.dropped += entries.kept.len();
        entries.kept.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
