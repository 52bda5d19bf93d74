//! One exchange with Polytomic: the head of its response, then the body in chunks.
//!
//! What bounds a response lives here, so that it holds for a body that is collected
//! and for one that is streamed: the deadline, the time that Polytomic may be silent,
//! the size limit, the memory budget, and the report to the circuit breaker.

use std::{mem, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::{Instant, timeout_at};

use super::{Error, Response, expiring::Expiring, report::Report, response::check_json};
use crate::budget::{Exhausted, Reserve, wait_until};

/// The body of a response. Dropping it ends the exchange.
pub(super) type Body = UnsyncBoxBody<Bytes, Error>;

/// The bounds of a response.
#[derive(Debug)]
pub(super) struct Limits<R> {
    /// The end of the attempt. It moves by the time that the response waits for memory.
    pub(super) until: Instant,
    /// The end of the RPC, which bounds that.
    pub(super) deadline: Instant,
    /// Maximum time between two chunks of the body.
    pub(super) read_timeout: Duration,
    /// Maximum bytes of the body.
    pub(super) bytes: usize,
    /// What reserves memory for the body.
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
    /// Bytes of the body that were read.
    received: usize,
}

impl<R: Reserve> Exchange<R> {
    pub(super) fn new(
        response: http::Response<Body>,
        limits: Limits<R>,
        report: Report,
    ) -> Self {
        Self { response, limits, report, received: 0 }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Checks that the headers do not state a body other than plain JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn check_json(&self) -> Result<(), Error> {
        check_json(self.response.headers())
    }

    /// Returns the exchange for a body that is read in chunks, whose memory is its
    /// reader's.
    #[must_use]
    pub fn into_chunks(self) -> Exchange<()> {
        let Self { response, limits, report, received } = self;
        let Limits { until, deadline, read_timeout, bytes, .. } = limits;
        let limits = Limits { until, deadline, read_timeout, bytes, reserve: () };
        Exchange { response, limits, report, received }
    }

    /// Returns the maximum bytes of a body, or of an element of one that is not kept.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limits.bytes
    }

    /// Lets the reader take the rest of the body at its own pace, until then: the exchange
    /// ends at that moment, even if its reader pauses. For the circuit breaker, Polytomic
    /// has responded: it may give up on a reader that pauses.
    #[must_use]
    pub fn continue_until(mut self, until: Instant) -> Self {
        (self.limits.until, self.limits.deadline) = (until, until);
        self.report.judge(Ok(self.response.status()));
        let response =
            self.response.map(|body| Expiring::new(body, until).boxed_unsync());
        Self { response, ..self }
    }

    /// Ends the exchange for the circuit breaker with a problem that its reader found.
    pub fn fail(&mut self, error: &Error) {
        self.report.send(Err(error));
    }

    /// Returns the maximum bytes of the body, and whether the body states that it has as
    /// many. Otherwise it is the limit.
    ///
    /// # Errors
    ///
    /// If the stated length exceeds the limit.
    pub fn largest(&mut self) -> Result<(usize, bool), Error> {
        let Some(stated) = self.response.body().size_hint().exact() else {
            return Ok((self.limits.bytes, false));
        };
        let stated = usize::try_from(stated).unwrap_or(usize::MAX);
        self.check_size(stated)?;
        Ok((stated, true))
    }

    /// Reads the next chunk of the body, or `None` at its end. There is no limit of size.
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

    /// As [`chunk`](Self::chunk), of a body within the size limit.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk), and if the body exceeds the limit.
    pub async fn limited_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.chunk().await?;
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        self.check_size(self.received)?;
        Ok(chunk)
    }

    /// Reads the rest of the body, which is not needed, so that its connection can be
    /// used again and the end of the exchange is known.
    ///
    /// # Errors
    ///
    /// As [`limited_chunk`](Self::limited_chunk).
    pub async fn drain(&mut self) -> Result<(), Error> {
        while self.limited_chunk().await?.is_some() {}
        Ok(())
    }

    /// Reads the whole body, within the memory that is reserved for it. While it waits
    /// for memory it reads no further.
    ///
    /// # Errors
    ///
    /// If [`limited_chunk`](Self::limited_chunk) fails, or the body exceeds the memory
    /// budget; without reading it, if its stated length does.
    pub async fn collect(mut self) -> Result<Response, Error> {
        let (stated, is_stated) = self.largest()?;
        let mut reserved = if is_stated { stated } else { 0 };
        self.reserve(reserved).await?;

        // A body of one chunk is not copied.
        let mut whole = self.limited_chunk().await?.unwrap_or_default();
        reserved = self.reserve_for(whole.len(), reserved, 0).await?;
        let mut body = Vec::new();
        while let Some(chunk) = self.limited_chunk().await? {
            let length = body.len() + whole.len() + chunk.len();
            reserved = self.reserve_for(length, reserved, body.capacity()).await?;
            if body.capacity() < length {
                body.reserve_exact(reserved - body.len());
            }
            body.extend_from_slice(&mem::take(&mut whole));
            body.extend_from_slice(&chunk);
        }
        if !body.is_empty() {
            whole = body.into();
        }
        let status = self.response.status();
        let headers = mem::take(self.response.headers_mut());
        Ok(Response { status, headers, body: whole })
    }

    /// Reserves memory for `length` bytes, if `reserved` are less. Returns how many the
    /// body may have then: twice as many each time, so that it is seldom moved. The
    /// `moved` bytes of it are in memory twice meanwhile.
    async fn reserve_for(
        &mut self,
        length: usize,
        reserved: usize,
        moved: usize,
    ) -> Result<usize, Error> {
        if length <= reserved {
            return Ok(reserved);
        }
        let most = self.limits.bytes.max(length);
        let larger = reserved.saturating_mul(2).clamp(length, most);
        self.reserve(moved + larger).await?;
        Ok(larger)
    }

    /// Reserves memory for a total of `bytes`. While it waits, the exchange may take
    /// longer.
    ///
    /// # Errors
    ///
    /// [`Error::NoMemory`].
    pub async fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        let reserved = self.wait_for_memory(bytes).await.map_err(Error::NoMemory);
        reserved.inspect_err(|error| self.report.send(Err(error)))
    }

    /// Checks that a body of this many bytes is within the limit.
    fn check_size(&mut self, bytes: usize) -> Result<(), Error> {
        let limit = self.limits.bytes;
        if bytes <= limit {
            return Ok(());
        }
        let error = Error::TooLarge { limit };
        self.report.send(Err(&error));
        Err(error)
    }

    async fn wait_for_memory(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Limits { deadline, ref reserve, ref mut until, .. } = self.limits;
        let mut reserving = pin!(reserve.reserve(bytes, wait_until(deadline)));
        if let Some(reserved) = reserving.as_mut().now_or_never() {
            return reserved;
        }
        let started = Instant::now();
        let reserved = reserving.await;
        *until = (*until + started.elapsed()).min(deadline);
        self.report.has_waited = true;
        reserved
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

#[cfg(test)]
mod tests;
