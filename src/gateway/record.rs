//! The record of an RPC: the source of its status, of its response metadata and of
//! its one line in the log.

use std::{error::Error, sync::Arc, thread};

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tonic::{Code, Status, metadata::MetadataMap};
use tracing::info;

use super::{
    idempotency::{self, Key},
    metadata,
    outcome::Effect,
};
use crate::{
    auth::{CredentialOwner, Credentials},
    contract::Rpc,
    status::{Context, Failure, Reason},
    transcode::Resource,
    upstream::CancelHandle,
};

/// The record of one RPC.
#[derive(Debug)]
pub(super) struct Record {
    rpc: Arc<Rpc>,
    pub(super) started: Instant,
    pub(super) request_id: HeaderValue,
    pub(super) api_version: HeaderValue,
    pub(super) key: Option<Key>,
    pub(super) credentials: Option<Credentials>,
    pub(super) whose_credentials: CredentialOwner,
    pub(super) resource: Option<Resource>,
    attempts: u32,
    effect: Effect,
    http_status: Option<StatusCode>,
    finished: bool,
}

impl Record {
    /// Starts the record of an RPC that arrived at `started`.
    pub(super) fn new(
        rpc: &Arc<Rpc>,
        started: Instant,
        metadata: &HeaderMap,
        api_version: &HeaderValue,
    ) -> Self {
        Self {
            rpc: Arc::clone(rpc),
            started,
            request_id: metadata::request_id(metadata),
            api_version: api_version.clone(),
            key: None,
            credentials: None,
            whose_credentials: CredentialOwner::Caller,
            resource: None,
            attempts: 0,
            effect: Effect::new(rpc.binding.is_safe(), metadata::is_retry(metadata)),
            http_status: None,
            finished: false,
        }
    }

    /// Records that a request is about to be sent. Returns the handle to cancel it
    /// with, if it may have an effect.
    pub(super) fn attempt(&mut self) -> Option<CancelHandle> {
        self.attempts += 1;
        self.http_status = None;
        self.effect.begin()
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

    /// Reports whether an attempt that failed may have taken effect.
    pub(super) fn may_exist(&self) -> bool {
        self.effect.may_exist()
    }

    /// Ends an RPC that succeeded: logs it.
    pub(super) fn succeed(mut self) {
        self.finished = true;
        self.log(Code::Ok, None);
    }

    /// Ends an RPC that failed: logs it and makes its status.
    pub(super) fn fail(mut self, failure: Failure) -> Status {
        self.finished = true;
        self.log_failure(&failure);
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
            safe: self.rpc.binding.is_safe(),
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
            options: &self.rpc.options,
            ..Context::new(text(&self.request_id))
        }
    }

    /// Returns the metadata of a response, good or bad.
    pub(super) fn metadata(&self) -> MetadataMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(metadata::REQUEST_ID, self.request_id.clone());
        if let Some(key) = &self.key {
            headers.insert(idempotency::HEADER, key.value.clone());
            let origin = HeaderValue::from_static(key.origin.as_str());
            headers.insert(idempotency::ORIGIN, origin);
        }
        MetadataMap::from_headers(headers)
    }

    fn log_failure(&self, failure: &Failure) {
        self.log(failure.code(self.rpc.binding.is_safe()), Some(failure));
    }

    /// Writes the RPC's one line. A failure has the same level: a client's mistake is
    /// no alarm for the operator, and the code tells them apart.
    fn log(&self, code: Code, failure: Option<&Failure>) {
        let safe = self.rpc.binding.is_safe();
        let reason = failure.map(|failure| failure.reason(safe, self.whose_credentials));
        let identity = self.credentials.as_ref().and_then(Credentials::identity);
        info!(
            target: "rpc",
            rpc = self.rpc.path(),
            code = ?code,
            reason = reason.map(Reason::as_str),
            error = failure.map(describe),
            http_status = self.http_status.map(|status| status.as_u16()),
            attempts = self.attempts,
            duration_ms = self.duration_ms(),
            request_id = text(&self.request_id),
            idempotency_key = self.idempotency_key(),
            idempotency_key_origin = self.idempotency_key_origin(),
            caller = self.fingerprint(),
            organization_id = identity.and_then(|identity| identity.organization_id.as_deref()),
            organization = identity.and_then(|identity| identity.organization_name.as_deref()),
            key_class = identity.map(|identity| identity.class.as_str()),
            "an RPC has ended"
        );
    }

    /// Returns the duration so far in milliseconds, to the microsecond.
    fn duration_ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
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

/// An RPC that is dropped has its line too: its client went away, or it panicked.
impl Drop for Record {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let failure =
            if thread::panicking() { Failure::Panic } else { Failure::Cancelled };
        self.log_failure(&failure);
    }
}

/// Returns an error with its causes on one line, cut to 2 KiB.
fn describe(failure: &Failure) -> String {
    const MOST: usize = 2048;

    let mut line = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    if line.len() > MOST {
        let end = (0..=MOST).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().expect("the values that are kept were checked to be visible ASCII")
}
