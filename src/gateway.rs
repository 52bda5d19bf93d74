//! The life of one RPC: from its metadata and message to a REST request, and back.
//!
//! The gateway knows no particular RPC: it follows the compiled [`Contract`]. Every
//! failure becomes a status in one place.

mod attempt;
mod body;
mod causes;
mod deadline;
mod failures;
mod idempotency;
mod identity;
mod metadata;
mod metrics;
mod outcome;
mod oversized;
mod panic;
mod prepare;
mod record;
mod response;
mod retry;
mod stream;
mod timeouts;
mod totals;

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method};
use tokio::time::Instant;
use tonic::Status;

pub use self::{
    body::{Body, Message},
    deadline::{parse_timeout, time_allowed},
    failures::{FailedRpc, RecentFailures},
    identity::IdentityClient,
    metrics::{CountedRpc, RpcMetrics},
    stream::Messages,
    timeouts::Timeouts,
    totals::RpcTotals,
};
use self::{
    deadline::Deadline, idempotency::Key, metrics::Metrics, oversized::Oversized,
    panic::catch_panic, prepare::prepare, record::Record, response::Translator,
    retry::Retries, stream::Reading,
};
use crate::{
    auth::{self, Authenticator, CredentialOwner, Credentials},
    budget::{Client, ReceivedRpc, RejectedResponses, RpcReservation, wait_until},
    contract::{Contract, KeyClass, Rpc},
    peer::Peer,
    status::Failure,
    transcode::Violation,
    upstream::Upstream,
};

/// Serves the RPCs of a contract from one upstream.
#[derive(Debug)]
pub struct Gateway {
    contract: Contract,
    authenticator: Arc<Authenticator>,
    upstream: Upstream,
    settings: Settings,
    retries: Retries,
    rejected_responses: RejectedResponses,
    translator: Arc<Translator>,
    oversized: Oversized,
    metrics: Metrics,
}

/// What a successful attempt yields.
enum Answer {
    Message(Bytes),
    Stream(Box<Reading>),
}

/// The settings of a gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The version of Polytomic's API, unless a client requests another.
    pub api_version: HeaderValue,
    /// Maximum time of an RPC; also its deadline if the client sets none.
    pub timeouts: Timeouts,
    /// Maximum time of an attempt if as much time is left for another.
    pub attempt_timeout: Duration,
    /// Maximum attempts of an RPC.
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
        let rejected_responses = RejectedResponses::new();
        let oversized = Oversized::new(&contract);
        let metrics = Metrics::new(&contract, &upstream);
        Self {
            contract,
            authenticator,
            upstream,
            settings,
            retries,
            rejected_responses,
            translator: Arc::new(Translator::new()),
            oversized,
            metrics,
        }
    }

    /// Reports whether the gateway's own credentials are loaded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.authenticator.is_ready()
    }

    /// Returns the last failures, which every RPC that fails from now on is added to.
    #[must_use]
    pub fn failures(&self) -> &RecentFailures {
        self.metrics.recent_failures()
    }

    /// Returns the contract that is served.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Performs one RPC, whose deadline counts from when it `arrived`. The message
    /// is the wire bytes of its request, the result those of its response, with the
    /// memory that they hold. A stream begins with its first message.
    ///
    /// Dropping the future, or the body of a stream, ends the request to Polytomic.
    ///
    /// # Errors
    ///
    /// A status with the problem, the party that must fix it, and whether to retry.
    /// `docs/STATUSES.md` lists them.
    pub async fn call(
        &self,
        rpc: &Arc<Rpc>,
        arrived: Instant,
        request: tonic::Request<Bytes>,
        received: ReceivedRpc<'_>,
    ) -> Result<tonic::Response<Body>, Status> {
        let (metadata, _, message) = request.into_parts();
        let metadata = metadata.into_headers();
        let version = &self.settings.api_version;
        let counted = CountedRpc::start(self.metrics.of(rpc), arrived);
        let mut record = Record::new(rpc, counted, received.peer(), &metadata, version);
        // Decided before anything can fail: every failure returns the key.
        let credential =
            self.authenticator.credential_of(&metadata, record.peer.as_deref());
        let key = (rpc.binding.method == Method::POST)
            .then(|| idempotency::key(&metadata, credential, rpc, &message));
        record.key = key.clone().and_then(Result::ok);
        if let Some(key) = &record.key {
            self.metrics.keys.add(key.origin.as_str());
        }
        let work = self.perform(rpc, &metadata, &message, key, received, &mut record);
        let outcome = catch_panic(pin!(work)).await;
        match outcome {
            Ok((answer, reserved)) => {
                if let Answer::Message(message) = &answer {
                    self.oversized.check(rpc, message.len());
                }
                let metadata = record.metadata();
                let body = body(answer, reserved, record);
                Ok(tonic::Response::from_parts(metadata, body, Extensions::new()))
            }
            Err(failure) => Err(record.fail(failure)),
        }
    }

    async fn perform(
        &self,
        rpc: &Arc<Rpc>,
        metadata: &HeaderMap,
        message: &[u8],
        key: Option<Result<Key, Violation>>,
        received: ReceivedRpc<'_>,
        record: &mut Record,
    ) -> Result<(Answer, RpcReservation), Failure> {
        let most = self.settings.timeouts.of(rpc);
        let stated = Deadline::new(metadata, record.started(), most);
        // A malformed timeout is reported with all other violations, to clients that
        // have credentials.
        let deadline =
            stated.clone().unwrap_or(Deadline::of_gateway(record.started(), most));
        let credentials = {
            let credentials = pin!(self.credentials(rpc, metadata, record));
            deadline.bound(credentials).await?
        };
        // Rejected immediately at a limit: a queue would only delay every client.
        let client = self.client(&credentials, record.peer.as_deref());
        let reserved = received.start(client)?;
        let mut request = prepare(rpc, metadata, message, key, stated, record)?;
        let memory = if rpc.is_streaming {
            self.rejected_responses.of_stream(&reserved.response)
        } else {
            let expecting = self.rejected_responses.reserve(
                &reserved.response,
                (&request.method, &request.path_and_query),
                credentials.key(),
                wait_until(deadline.at()),
            );
            expecting.await?
        };
        let answer =
            self.send(rpc, &mut request, deadline, credentials, &memory, record).await?;
        let Answer::Stream(reading) = answer else { return Ok((answer, reserved)) };
        let most = self.settings.timeouts.of_stream(rpc);
        let deadline = Deadline::new(metadata, record.started(), most)
            .unwrap_or(Deadline::of_gateway(record.started(), most))
            .of_stream();
        let reading = Box::new(reading.continue_until(deadline));
        Ok((Answer::Stream(reading), reserved))
    }

    async fn credentials(
        &self,
        rpc: &Rpc,
        metadata: &HeaderMap,
        record: &mut Record,
    ) -> Result<Credentials, Failure> {
        let peer = record.peer.as_deref();
        let credentials =
            self.authenticator.credentials(metadata, peer).await.inspect_err(
                |error| {
                    if let auth::Error::Rejected { owner } = error {
                        record.whose_credentials = *owner;
                    }
                },
            )?;
        record.whose_credentials = credentials.owner();
        record.credentials = Some(credentials.clone());
        check_class(rpc, &credentials)?;
        Ok(credentials)
    }

    /// Returns the client that an RPC with these credentials counts for.
    fn client(&self, credentials: &Credentials, peer: Option<&Peer>) -> Client {
        let key = credentials.key();
        match (credentials.owner(), credentials.identity()) {
            (CredentialOwner::Gateway, _) => {
                self.authenticator.id_of(peer).map_or(Client::Connection, Client::Key)
            }
            (CredentialOwner::Caller, Some(_)) => Client::Key(key),
            (CredentialOwner::Caller, None) if self.authenticator.verifies() => {
                Client::UnconfirmedKey(key)
            }
            (CredentialOwner::Caller, None) => Client::UncheckedKey(key),
        }
    }
}

/// Returns the body of a response. A unary RPC is no longer in flight, but its response is
/// unread; a stream is in flight to its end.
fn body(answer: Answer, reserved: RpcReservation, record: Record) -> Body {
    match answer {
        Answer::Message(message) => {
            Body::Message(Message::new(message, reserved.response, record))
        }
        Answer::Stream(reading) => {
            Body::Stream(Box::new(Messages::new(*reading, record, reserved)))
        }
    }
}

/// Rejects a key that Polytomic is certain to reject for the RPC.
fn check_class(rpc: &Rpc, credentials: &Credentials) -> Result<(), auth::Error> {
    match rpc.options.key_class {
        KeyClass::Any => Ok(()),
        KeyClass::Partner => credentials.check_partner(),
    }
}

/// Rejects a request before it becomes an RPC, counts and logs that. `rpc` is the RPC that
/// it is for, if the contract has it.
#[must_use]
pub fn reject(
    rpc: Option<&Arc<Rpc>>,
    counted: CountedRpc,
    peer: Option<&Arc<Peer>>,
    metadata: &HeaderMap,
    failure: Failure,
) -> Status {
    Record::of_rejected(rpc, counted, peer, metadata).fail(failure)
}

#[cfg(test)]
mod tests;
