//! One exchange with Polytomic: the head of its response, then the body in chunks.
//!
//! What bounds a response lives here, so that it holds for a body that is collected
//! and for one that is streamed: the deadline, the time that Polytomic may be silent,
//! the size limit, the memory budget, and the report to the circuit breaker.

use std::{mem, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::{Instant, timeout_at};

use super::{Error, Response, breaker::Permit, classify};
use crate::budget::Exhausted;

/// Maximum bytes that are allocated for a body before it arrives, by its stated length.
const MAX_RESERVED: usize = 1024 * 1024;

/// The body of a response. Dropping it ends the exchange.
pub(super) type Body = UnsyncBoxBody<Bytes, Error>;

/// The bounds of a response.
#[derive(Debug)]
pub(super) struct Limits<R> {
    /// The end of the attempt.
    pub(super) until: Instant,
    /// Maximum time between two chunks of the body.
    pub(super) read_timeout: Duration,
    /// Maximum bytes of the body.
    pub(super) bytes: usize,
    /// Reserves memory for a total of bytes.
    pub(super) reserve: R,
}

/// A response whose head has arrived, and whose body is still to be read.
///
/// Dropping it ends the exchange, which then does not count for the circuit breaker.
#[derive(Debug)]
pub struct Exchange<R> {
    response: http::Response<Body>,
    limits: Limits<R>,
    report: Report,
}

/// The one result of an exchange for the circuit breaker.
#[derive(Debug)]
pub(super) struct Report {
    started: Instant,
    permit: Option<Permit>,
}

impl<R: Fn(usize) -> Result<(), Exhausted>> Exchange<R> {
    pub(super) fn new(
        response: http::Response<Body>,
        limits: Limits<R>,
        report: Report,
    ) -> Self {
        Self { response, limits, report }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Reads the next chunk of the body, or `None` at its end.
    ///
    /// # Errors
    ///
    /// If Polytomic is silent for too long or the connection ends.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let silent_until = Instant::now() + self.limits.read_timeout;
        let until = self.limits.until.min(silent_until);
        let chunk = timeout_at(until, next_data(self.response.body_mut())).await;
        let chunk = chunk.unwrap_or(Err(Error::Timeout));
        match &chunk {
            Ok(Some(_)) => {}
            Ok(None) => self.report.send(Ok(self.response.status())),
            Err(error) => self.report.send(Err(error)),
        }
        chunk
    }

    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// If [`chunk`](Self::chunk) fails, or the body exceeds the size limit or the
    /// memory budget; without reading it, if its stated length does.
    pub async fn collect(mut self) -> Result<Response, Error> {
        let stated = self.response.body().size_hint().exact().unwrap_or(0);
        let stated = usize::try_from(stated).unwrap_or(usize::MAX);
        self.allow(stated)?;

        // A body of one chunk is not copied.
        let mut whole = self.chunk().await?.unwrap_or_default();
        self.allow(whole.len())?;
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.is_empty() {
                body.reserve(stated.min(MAX_RESERVED).max(whole.len() + chunk.len()));
                body.extend_from_slice(&mem::take(&mut whole));
            }
            self.allow(stated.max(body.len() + chunk.len()))?;
            body.extend_from_slice(&chunk);
        }
        if !body.is_empty() {
            whole = body.freeze();
        }
        let status = self.response.status();
        let headers = mem::take(self.response.headers_mut());
        Ok(Response { status, headers, body: whole })
    }

    /// Checks that this many bytes of the body are within the limits.
    fn allow(&mut self, bytes: usize) -> Result<(), Error> {
        let limit = self.limits.bytes;
        let allowed = if bytes > limit {
            Err(Error::TooLarge { limit })
        } else {
            (self.limits.reserve)(bytes).map_err(Error::NoMemory)
        };
        allowed.inspect_err(|error| self.report.send(Err(error)))
    }
}

/// Reads to the next data, past trailers.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await.transpose()? {
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

impl Report {
    /// Returns the report of an exchange that starts now. Without a permit there is
    /// nothing to report.
    pub(super) fn new(permit: Option<Permit>) -> Self {
        Self { started: Instant::now(), permit }
    }

    /// Reports how the exchange ended.
    pub(super) fn send(&mut self, ending: Result<StatusCode, &Error>) {
        let Some(permit) = self.permit.take() else { return };
        if let Some(failed) = classify::is_outage(ending, self.started.elapsed()) {
            permit.record(failed);
        }
    }
}

#[cfg(test)]
mod tests;
