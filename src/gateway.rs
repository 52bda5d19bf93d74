//! The life of one RPC: metadata and message in, REST call out, answer back.
//!
//! The gateway knows no particular RPC. It follows the compiled [`Contract`],
//! and whatever goes wrong becomes a status in one place.

mod deadline;
mod idempotency;
mod identity;
mod metadata;
mod outcome;
mod record;
mod response;
mod retry;
mod timeouts;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use tokio::time::{Instant, sleep};
use tonic::Status;

use self::{
    deadline::Deadline, idempotency::Key, outcome::Effect, record::Record, retry::Retries,
};
pub use self::{
    deadline::{parse_timeout, time_allowed},
    timeouts::Timeouts,
};
use crate::{
    auth::{self, Authenticator, Credentials},
    budget::{self, Reservation, ResponseMemory, Sizes},
    contract::{Contract, Rpc},
    status::{Context, Failure},
    transcode::{self, RequestError, Violation},
    upstream::{self, Request, Upstream},
};

/// Serves the RPCs of a contract from one upstream.
#[derive(Debug)]
pub struct Gateway {
    contract: Contract,
    authenticator: Arc<Authenticator>,
    upstream: Upstream,
    settings: Settings,
    retries: Retries,
    sizes: Sizes,
}

/// What a gateway can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The version of Polytomic's API, unless a caller asks for another.
    pub api_version: HeaderValue,
    /// How long an RPC may take at most, and takes if its caller sets no
    /// deadline.
    pub timeouts: Timeouts,
    /// How long an attempt may take if there is as much time again for another.
    pub attempt_timeout: Duration,
    /// How many attempts an RPC may take.
    pub attempts: u32,
}

impl Gateway {
    /// Makes a gateway that serves `contract` from `upstream`.
    #[must_use]
    pub fn new(
        contract: Contract,
        authenticator: Arc<Authenticator>,
        upstream: Upstream,
        settings: Settings,
    ) -> Self {
        let retries = Retries::new(settings.attempts);
        Self { contract, authenticator, upstream, settings, retries, sizes: Sizes::new() }
    }

    /// Reports whether the gateway has every credential that it needs itself.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.authenticator.is_ready()
    }

    /// Returns what is served.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Performs one RPC, whose deadline counts from when it `arrived`. The message
    /// is the wire bytes of its request, the result those of its response, which
    /// has the `place`; without one the RPC is one too many.
    ///
    /// Dropping the future ends the call to Polytomic at once.
    ///
    /// # Errors
    ///
    /// A status that says what happened, whose fault it is and whether to
    /// repeat. `docs/STATUSES.md` lists them.
    pub async fn call(
        &self,
        rpc: &Rpc,
        arrived: Instant,
        request: tonic::Request<Bytes>,
        place: Option<&Reservation>,
    ) -> Result<tonic::Response<Bytes>, Status> {
        let (metadata, _, message) = request.into_parts();
        let metadata = metadata.into_headers();
        let version = &self.settings.api_version;
        let mut record = Record::new(rpc, arrived, &metadata, version);
        // Settled before anything can fail: whatever does tells the key.
        let key = (rpc.binding.method == Method::POST)
            .then(|| idempotency::key(&metadata, rpc, &message));
        record.key = key.clone().and_then(Result::ok);
        // Whoever is one too many is told at once: a queue would only make every
        // caller's answer late.
        let outcome = match place {
            Some(place) => {
                catch_panic(self.perform(
                    rpc,
                    &metadata,
                    &message,
                    key,
                    place,
                    &mut record,
                ))
                .await
            }
            None => Err(budget::Exhausted.into()),
        };
        record.finish(outcome)
    }

    async fn perform(
        &self,
        rpc: &Rpc,
        metadata: &HeaderMap,
        message: &[u8],
        key: Option<Result<Key, Violation>>,
        place: &Reservation,
        record: &mut Record<'_>,
    ) -> Result<Bytes, Failure> {
        let most = self.settings.timeouts.of(rpc);
        let stated = Deadline::new(metadata, record.started, most);
        // One that is malformed is told with all other violations, to callers
        // that have credentials.
        let deadline =
            stated.clone().unwrap_or(Deadline::of_gateway(record.started, most));
        let credentials = deadline.bound(self.credentials(metadata, record)).await?;
        let call = Self::prepare(rpc, metadata, message, key, stated, record)?;
        let room = ResponseMemory::take(
            place,
            &self.sizes,
            (&call.method, &call.path_and_query),
            credentials.fingerprint(),
        )
        .ok_or(budget::Exhausted)?;
        self.send(rpc, call, deadline, credentials, &room, record).await
    }

    async fn credentials(
        &self,
        metadata: &HeaderMap,
        record: &mut Record<'_>,
    ) -> Result<Credentials, Failure> {
        let credentials =
            self.authenticator.credentials(metadata).await.map_err(|error| {
                if let auth::Error::Rejected { holder }
                | auth::Error::NotPartner { holder, .. } = error
                {
                    record.whose_credentials = holder;
                }
                error
            })?;
        record.whose_credentials = credentials.holder();
        record.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    /// Makes the REST call of an RPC, but for its credentials. Tells everything
    /// that is wrong with the metadata and the message at once.
    fn prepare(
        rpc: &Rpc,
        metadata: &HeaderMap,
        message: &[u8],
        key: Option<Result<Key, Violation>>,
        deadline: Result<Deadline, Violation>,
        record: &mut Record<'_>,
    ) -> Result<Request, RequestError> {
        let mut violations = Vec::new();
        let mut headers = HeaderMap::new();
        note(&mut violations, deadline);
        if let Some(Some(version)) = note(&mut violations, metadata::version(metadata)) {
            record.api_version = version;
        }
        headers.insert(metadata::VERSION, record.api_version.clone());
        headers.insert(metadata::REQUEST_ID, record.request_id.clone());
        metadata::copy_trace_context(metadata, &mut headers);
        if let Some(key) = key.and_then(|key| note(&mut violations, key)) {
            headers.insert(idempotency::HEADER, key.value);
        }

        match transcode::request(rpc, message) {
            Err(RequestError::Invalid(more)) => {
                violations.extend(more);
                Err(RequestError::Invalid(violations))
            }
            Err(malformed @ RequestError::Malformed(_)) => Err(malformed),
            Ok(rest) if violations.is_empty() => {
                record.resource = rest.resource;
                Ok(Request {
                    method: rest.method,
                    path_and_query: rest.path_and_query,
                    headers,
                    body: rest.body.map(Bytes::from),
                    cancel: None,
                })
            }
            Ok(_) => Err(RequestError::Invalid(violations)),
        }
    }

    /// Sends a call until it succeeds or another attempt would be of no use.
    async fn send(
        &self,
        rpc: &Rpc,
        call: Request,
        deadline: Deadline,
        mut credentials: Credentials,
        room: &ResponseMemory<'_>,
        record: &mut Record<'_>,
    ) -> Result<Bytes, Failure> {
        let mut retry = self.retries.first(rpc.binding.is_safe());
        let mut renewed = false;
        let is_repeatable = rpc.binding.is_repeatable();
        loop {
            let until = if retry.is_last() || !is_repeatable {
                deadline.at()
            } else {
                deadline.of_attempt(self.settings.attempt_timeout)
            };
            let attempt =
                self.attempt(rpc, call.clone(), &credentials, until, room, record);
            let failure = match deadline.bound(attempt).await {
                Ok(message) => return Ok(message),
                Err(failure) => failure,
            };
            record.failed(&failure);
            if is_unauthorized(&failure) {
                // The rejected credentials must be forgotten in any case.
                let rejected = self.authenticator.rejected(&credentials);
                let newer = deadline.bound(async { Ok(rejected.await) }).await;
                // Keys are unique among one holder's calls, perhaps: what others'
                // credentials begin, newer ones might begin again.
                let may_renew = is_repeatable && !renewed && !record.may_exist();
                let Some(newer) = newer.ok().flatten().filter(|_| may_renew) else {
                    return Err(failure);
                };
                credentials = newer;
                renewed = true;
                continue;
            }
            let delay = retry.delay(&failure, deadline.left(), fastrand::f64());
            let Some(delay) = delay.filter(|_| is_repeatable) else {
                return Err(failure);
            };
            sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        rpc: &Rpc,
        mut call: Request,
        credentials: &Credentials,
        until: Instant,
        room: &ResponseMemory<'_>,
        record: &mut Record<'_>,
    ) -> Result<Bytes, Failure> {
        call.headers.insert(AUTHORIZATION, credentials.authorization());
        let admission = self.upstream.admit()?;
        call.cancel = record.attempt();
        let answer = admission.send(call, until, |bytes| room.has(bytes)).await?;
        record.responded(answer.status);
        room.note_whole(answer.body.len());
        let message = response::translate(rpc, &answer, credentials)?;
        if room.keep(message.len()) {
            Ok(message)
        } else {
            Err(upstream::Error::NoMemory.into())
        }
    }
}

/// Tells that Polytomic does not accept the credentials.
fn is_unauthorized(failure: &Failure) -> bool {
    matches!(failure, Failure::ErrorResponse(response) if response.status() == StatusCode::UNAUTHORIZED)
}

/// Turns a panic into the failure of one RPC, which keeps its key and its id: the
/// others have nothing to do with it. What panicked is gone with its future.
fn catch_panic<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> impl Future<Output = Result<T, Failure>> {
    let catch_panicd = AssertUnwindSafe(work).catch_unwind();
    catch_panicd.map(|outcome| outcome.unwrap_or(Err(Failure::Panic)))
}

/// Refuses a request before it has become an RPC, and logs that. The RPC is the one
/// that it would have been, if there is such a one.
#[must_use]
pub fn reject(rpc: Option<&Rpc>, metadata: &HeaderMap, failure: Failure) -> Status {
    let request_id = metadata::request_id(metadata);
    let safe = rpc.is_none_or(|rpc| rpc.binding.is_safe());
    let key = idempotency::given(metadata);
    let key = key.map(|value| Key { value: value.clone(), lasts: true });
    let effect = Effect::new(safe, metadata::is_repeat(metadata));
    let (outcome, retry) = effect.conclude(&failure, key.as_ref());
    let context = Context {
        safe,
        outcome,
        retry,
        idempotency_key: key.as_ref().and_then(|key| key.value.to_str().ok()),
        ..Context::new(request_id.to_str().unwrap_or_default())
    };
    tracing::info!(
        target: "rpc",
        code = ?failure.code(safe),
        reason = failure.reason(safe, context.whose_credentials).as_str(),
        error = %failure,
        request_id = context.request_id,
        "a request was refused"
    );
    failure.into_status(&context)
}

/// Keeps a value, or notes the violation.
fn note<T>(violations: &mut Vec<Violation>, result: Result<T, Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_says_nothing_more() {
        let failure = catch_panic::<()>(async { panic!("a secret") }).await.unwrap_err();
        assert!(matches!(failure, Failure::Panic));
        let status = failure.into_status(&Context {
            safe: false,
            attempts: 1,
            idempotency_key: None,
            ..Context::new("id")
        });
        assert_eq!(status.code(), tonic::Code::Internal);
        assert!(status.message().starts_with("internal error"), "{}", status.message());
        assert!(!format!("{status:?}").contains("secret"));
    }
}
