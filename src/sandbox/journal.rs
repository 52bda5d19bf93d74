//! The request log: what a test asserts on, and what a demo shows.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// How many requests are remembered; under a load test older ones are dropped.
const CAPACITY: usize = 65_536;

/// A request as it arrived at the sandbox, and how it was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method, as sent.
    pub method: Method,
    /// The path as sent, still escaped, with the query if there is one.
    pub path: String,
    /// The headers, as sent, but for `authorization`, which only names the key:
    /// `partner`, `other-partner`, `user`, `organization` or `unknown`.
    pub headers: HeaderMap,
    /// The body, as sent; empty if it was too large to be read.
    pub body: Bytes,
    /// The status answered: `None` while the request is being handled, and for
    /// ever if the sandbox resets the connection or never answers.
    pub status: Option<StatusCode>,
}

/// The latest requests in the order in which they arrived.
#[derive(Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// How many entries were dropped before the first of `kept`.
    dropped: usize,
    kept: VecDeque<Request>,
}

/// The place of a request in the [`Journal`].
#[derive(Clone, Copy)]
pub(super) struct Entry(usize);

impl Journal {
    pub(super) fn arrived(&self, request: Request) -> Entry {
        let mut entries = self.lock();
        if entries.kept.len() == CAPACITY {
            entries.kept.pop_front();
            entries.dropped += 1;
        }
        entries.kept.push_back(request);
        Entry(entries.dropped + entries.kept.len() - 1)
    }

    pub(super) fn answered(&self, Entry(entry): Entry, status: Option<StatusCode>) {
        let mut entries = self.lock();
        let Some(place) = entry.checked_sub(entries.dropped) else { return };
        if let Some(request) = entries.kept.get_mut(place) {
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
