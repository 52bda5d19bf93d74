//! The record of an RPC, or of a request that was rejected before it became one: the
//! source of its status, of its response metadata and of its one line in the log.

use std::{sync::Arc, thread, time::SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tonic::{Code, Status, metadata::MetadataMap};
use tracing::info;

use super::{
    causes::describe,
    failures::FailedRpc,
    idempotency::{self, Key},
    metadata,
    metrics::CountedRpc,
    outcome::Effect,
};
use crate::{
    auth::{CredentialOwner, Credentials},
    contract::{Options, Rpc},
    peer::{Identity, Peer},
    status::{Context, Failure, Reason},
    transcode::Resource,
    upstream::CancelHandle,
};

/// The message of the line of an RPC, and of a request that did not become one.
const ENDED: &str = "RPC ended";
const REJECTED: &str = "request rejected";

/// The record of one RPC.
#[derive(Debug)]
pub(super) struct Record {
    message: &'static str,
    rpc: Option<Arc<Rpc>>,
    pub(super) peer: Option<Arc<Peer>>,
    counted: CountedRpc,
    pub(super) request_id: HeaderValue,
    pub(super) api_version: HeaderValue,
    pub(super) key: Option<Key>,
    pub(super) credentials: Option<Credentials>,
    pub(super) whose_credentials: CredentialOwner,
    pub(super) resource: Option<Resource>,
    attempts: u32,
    effect: Effect,
    http_status: Option<StatusCode>,
    /// The messages that were sent, of a stream.
    messages: Option<u64>,
    finished: bool,
}

impl Record {
    /// Starts the record of an RPC whose message has been received.
    pub(super) fn new(
        rpc: &Arc<Rpc>,
        counted: CountedRpc,
        peer: Option<&Arc<Peer>>,
        metadata: &HeaderMap,
        api_version: &HeaderValue,
    ) -> Self {
        counted.received();
        Self::start(ENDED, Some(rpc), counted, peer, metadata, api_version.clone())
    }

    /// Starts the record of a request that is rejected before it becomes an RPC.
    pub(super) fn of_rejected(
        rpc: Option<&Arc<Rpc>>,
        counted: CountedRpc,
        peer: Option<&Arc<Peer>>,
        metadata: &HeaderMap,
    ) -> Self {
        let no_version = HeaderValue::from_static("");
        let mut record = Self::start(REJECTED, rpc, counted, peer, metadata, no_version);
        if !rpc.is_some_and(|rpc| rpc.binding.is_safe()) {
            record.key = idempotency::given(metadata);
        }
        record
    }

    fn start(
        message: &'static str,
        rpc: Option<&Arc<Rpc>>,
        mut counted: CountedRpc,
        peer: Option<&Arc<Peer>>,
        metadata: &HeaderMap,
        api_version: HeaderValue,
    ) -> Self {
        counted.set_trace(metadata::recorded_trace(metadata));
        // Whether a read is a retry does not matter, and takes a number of look-ups.
        let effect = if is_safe(rpc) {
            Effect::new(true, false)
        } else {
            Effect::new(false, metadata::is_retry(metadata))
                .of_possible_retry(metadata::may_be_retry(metadata))
        };
        Self {
            message,
            rpc: rpc.cloned(),
            peer: peer.cloned(),
            counted,
            request_id: metadata::request_id(metadata),
            api_version,
            key: None,
            credentials: None,
            whose_credentials: CredentialOwner::Caller,
            resource: None,
            attempts: 0,
            effect,
            http_status: None,
            messages: None,
            finished: false,
        }
    }

    /// Returns when the RPC arrived.
    pub(super) fn started(&self) -> Instant {
        self.counted.started()
    }

    /// Records that a request is about to be sent. Returns the handle to cancel it
    /// with, if it may have an effect.
    pub(super) fn attempt(&mut self) -> Option<CancelHandle> {
        self.attempts += 1;
        self.http_status = None;
        self.effect.begin()
    }

    /// Reports whether a request has been sent, or was about to be.
    pub(super) fn has_attempts(&self) -> bool {
        self.attempts > 0
    }

    /// Records the status of Polytomic's response, whose body is still to come.
    pub(super) fn responded(&mut self, status: StatusCode) {
        self.effect.respond();
        self.http_status = Some(status);
    }

    /// Records how the attempt failed.
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.effect.fail(failure);
    }

    /// Records how many messages of a stream have been sent so far.
    pub(super) fn sent(&mut self, messages: u64) {
        self.counted.sent(messages - self.messages.unwrap_or_default());
        self.messages = Some(messages);
    }

    /// Reports whether an attempt that failed may have taken effect.
    pub(super) fn may_exist(&self) -> bool {
        self.effect.may_exist()
    }

    /// Ends an RPC that succeeded, with its message if it is no stream: logs it.
    pub(super) fn succeed(mut self) {
        self.finished = true;
        if self.messages.is_none() {
            self.counted.sent(1);
        }
        self.end(None);
    }

    /// Ends an RPC that failed: logs it and makes its status.
    pub(super) fn fail(mut self, failure: Failure) -> Status {
        self.finished = true;
        self.end(Some(&failure));
        let context = self.context(&failure);
        let mut status = failure.into_status(&context);
        for (name, value) in &self.metadata().into_headers() {
            status.metadata_mut().as_mut().insert(name, value.clone());
        }
        status
    }

    fn context(&self, failure: &Failure) -> Context<'_> {
        let (outcome, retry) = self.effect.conclude(failure, self.key.as_ref());
        Context {
            safe: self.is_safe(),
            attempts: self.attempts,
            outcome,
            retry,
            idempotency_key: self.idempotency_key(),
            idempotency_key_origin: self.idempotency_key_origin().unwrap_or_default(),
            resource: self
                .resource
                .as_ref()
                .map(|resource| (&*resource.kind, resource.name.as_str())),
            whose_credentials: self.whose_credentials,
            fingerprint: self.fingerprint(),
            api_version: text(&self.api_version),
            options: self.rpc.as_ref().map_or(Options::NONE, |rpc| &rpc.options),
            stream: self.rpc.as_ref().and_then(|rpc| rpc.stream.as_deref()),
            ..Context::new(text(&self.request_id))
        }
    }

    /// Returns the metadata of a response, good or bad.
    pub(super) fn metadata(&self) -> MetadataMap {
        // With room for the content type and the date, so that they need no larger map.
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(metadata::REQUEST_ID, self.request_id.clone());
        if let Some(key) = &self.key {
            headers.insert(idempotency::HEADER, key.value.clone());
            let origin = HeaderValue::from_static(key.origin.as_str());
            headers.insert(idempotency::ORIGIN, origin);
        }
        MetadataMap::from_headers(headers)
    }

    /// Returns the reason of a failure of the RPC or of an attempt.
    pub(super) fn reason(&self, failure: &Failure) -> Reason {
        failure.reason(self.is_safe(), self.whose_credentials)
    }

    /// Counts the RPC or request, and writes its one line. A failure has the level of a
    /// success: a client's mistake is no alarm for the operator, who can filter by code.
    fn end(&mut self, failure: Option<&Failure>) {
        let code = failure.map_or(Code::Ok, |failure| failure.code(self.is_safe()));
        let reason = failure.map(|failure| self.reason(failure));
        self.counted.set_end(code, reason, failure.and_then(Failure::exhausted));
        if let Some(reason) = reason {
            self.counted.add_to_recent(FailedRpc {
                at: SystemTime::now(),
                rpc: self.rpc.as_ref().map(|rpc| rpc.path().to_owned()),
                code: format!("{code:?}"),
                reason: reason.as_str(),
                request_id: text(&self.request_id).to_owned(),
            });
        }
        let identity = self.credentials.as_ref().and_then(Credentials::identity);
        let peer = self.peer.as_deref();
        info!(
            target: "rpc",
            message = self.message,
            rpc = self.rpc.as_ref().map(|rpc| rpc.path()),
            code = ?code,
            reason = reason.map(Reason::as_str),
            error = failure.map(describe),
            http_status = self.http_status.map(|status| status.as_u16()),
            attempts = self.attempts,
            messages = self.messages,
            duration_ms = self.duration_ms(),
            request_id = text(&self.request_id),
            idempotency_key = self.idempotency_key(),
            idempotency_key_origin = self.idempotency_key_origin(),
            peer = peer.map(|peer| &*peer.address),
            identity = peer.and_then(|peer| peer.identity.as_ref()).map(Identity::as_str),
            caller = self.fingerprint(),
            organization_id = identity.and_then(|identity| identity.organization_id.as_deref()),
            organization = identity.and_then(|identity| identity.organization_name.as_deref()),
            key_class = identity.map(|identity| identity.class.as_str()),
        );
    }

    fn is_safe(&self) -> bool {
        is_safe(self.rpc.as_ref())
    }

    /// Returns the duration so far in milliseconds, to the microsecond.
    fn duration_ms(&self) -> f64 {
        (self.started().elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn idempotency_key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| text(&key.value))
    }

    fn idempotency_key_origin(&self) -> Option<&'static str> {
        self.key.as_ref().map(|key| key.origin.as_str())
    }

    fn fingerprint(&self) -> Option<&str> {
        self.credentials.as_ref().map(Credentials::fingerprint)
    }
}

/// An RPC that is dropped has its line too: its connection or client went, or it panicked.
impl Drop for Record {
    fn drop(&mut self) {
        let failure = match &self.peer {
            _ if self.finished => return,
            _ if thread::panicking() => Failure::Panic,
            Some(peer) if peer.is_left() => Failure::ConnectionEnded,
            _ => Failure::Cancelled,
        };
        self.end(Some(&failure));
    }
}

/// Reports whether a request only reads. One for an unknown RPC changes nothing.
fn is_safe(rpc: Option<&Arc<Rpc>>) -> bool {
    rpc.is_none_or(|rpc| rpc.binding.is_safe())
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().expect("the values that are kept were checked to be visible ASCII")
}
