//! What is known of an RPC while it runs: the source of its status, of its
//! response metadata and of its one line in the log.

use std::{error::Error, thread};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tonic::{Code, Response, Status, metadata::MetadataMap};
use tracing::info;

use super::{
    idempotency::{self, Key},
    metadata, outcome,
};
use crate::{
    auth::Credentials,
    contract::Rpc,
    status::{self, Context, CredentialOwner, Failure, Outcome},
    transcode::Resource,
    upstream::CancelHandle,
};

/// The record of one RPC.
#[derive(Debug)]
pub(super) struct Record<'a> {
    rpc: &'a Rpc,
    pub(super) started: Instant,
    pub(super) request_id: HeaderValue,
    pub(super) api_version: HeaderValue,
    pub(super) key: Option<Key>,
    pub(super) credentials: Option<Credentials>,
    pub(super) whose_credentials: CredentialOwner,
    pub(super) resource: Option<Resource>,
    attempts: u32,
    recall: Option<CancelHandle>,
    unsent: bool,
    in_doubt: bool,
    http_status: Option<StatusCode>,
    finished: bool,
}

impl<'a> Record<'a> {
    /// Starts the record of an RPC that came in when it says.
    pub(super) fn new(
        rpc: &'a Rpc,
        started: Instant,
        metadata: &HeaderMap,
        api_version: &HeaderValue,
    ) -> Self {
        Self {
            rpc,
            started,
            request_id: metadata::request_id(metadata),
            api_version: api_version.clone(),
            key: None,
            credentials: None,
            whose_credentials: CredentialOwner::Caller,
            resource: None,
            attempts: 0,
            recall: None,
            unsent: true,
            // Who sends an RPC again may show only the last answer to its own caller.
            in_doubt: !rpc.binding.is_safe() && metadata::is_repeat(metadata),
            http_status: None,
            finished: false,
        }
    }

    /// Notes that a call is about to be sent. Returns what calls it back, if it is
    /// one that might have an effect.
    pub(super) fn attempt(&mut self) -> Option<CancelHandle> {
        self.attempts += 1;
        self.http_status = None;
        self.unsent = false;
        self.recall = (!self.rpc.binding.is_safe()).then(CancelHandle::default);
        self.recall.clone()
    }

    /// Returns how many calls were sent, or were about to be.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Notes the status of Polytomic's answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.http_status = Some(status);
    }

    /// Notes how an attempt has failed, and whether that leaves in doubt what
    /// became of the RPC.
    pub(super) fn failed(&mut self, failure: &Failure) {
        let safe = self.rpc.binding.is_safe();
        let is_late = matches!(failure, Failure::Timeout | Failure::DeadlineExceeded);
        self.unsent = failure.outcome(safe) == Outcome::NotSent
            || is_late && self.recall.as_ref().is_some_and(CancelHandle::recall);
        if !safe && !self.unsent {
            self.in_doubt = outcome::may_exist_after(self.in_doubt, failure);
        }
    }

    /// Reports whether an attempt that failed may have taken effect.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Ends the RPC: logs it and makes its response.
    pub(super) fn finish(
        mut self,
        outcome: Result<Bytes, Failure>,
    ) -> Result<Response<Bytes>, Status> {
        self.finished = true;
        match outcome {
            Ok(message) => {
                self.log(Code::Ok, None);
                Ok(Response::from_parts(self.metadata(), message, Extensions::new()))
            }
            Err(failure) => {
                self.log_failure(&failure);
                let mut status = failure.into_status(&self.context());
                for (name, value) in &self.metadata().into_headers() {
                    status.metadata_mut().as_mut().insert(name, value.clone());
                }
                Err(status)
            }
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            safe: self.rpc.binding.is_safe(),
            attempts: self.attempts,
            unsent: self.unsent,
            in_doubt: self.in_doubt,
            idempotency_key: self
                .key
                .as_ref()
                .map(|key| status::Key { value: text(&key.value), lasts: key.lasts }),
            resource: self
                .resource
                .as_ref()
                .map(|resource| (&*resource.kind, resource.name.as_str())),
            whose_credentials: self.whose_credentials,
            fingerprint: self.fingerprint(),
            api_version: text(&self.api_version),
            page: self.rpc.options.reference.as_ref().map(|page| page.url.as_str()),
            ..Context::new(text(&self.request_id))
        }
    }

    /// Returns the metadata of a response, good or bad.
    fn metadata(&self) -> MetadataMap {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(metadata::REQUEST_ID, self.request_id.clone());
        if let Some(key) = &self.key {
            headers.insert(idempotency::HEADER, key.value.clone());
        }
        MetadataMap::from_headers(headers)
    }

    fn log_failure(&self, failure: &Failure) {
        self.log(failure.code(self.rpc.binding.is_safe()), Some(failure));
    }

    /// Writes the RPC's one line. A failure is a line at the same level: what a
    /// caller did wrong is no alarm of the operator's, and the code tells them
    /// apart.
    fn log(&self, code: Code, failure: Option<&Failure>) {
        let context = self.context();
        let identity = self.credentials.as_ref().and_then(Credentials::identity);
        info!(
            target: "rpc",
            rpc = self.rpc.path(),
            code = ?code,
            reason = failure.map(|failure| failure.reason(&context).as_str()),
            error = failure.map(describe),
            http_status = self.http_status.map(|status| status.as_u16()),
            attempts = self.attempts,
            duration_ms = self.duration_ms(),
            request_id = context.request_id,
            idempotency_key = context.idempotency_key.map(|key| key.value),
            caller = context.fingerprint,
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

    fn fingerprint(&self) -> Option<&str> {
        self.credentials.as_ref().map(Credentials::fingerprint)
    }
}

/// An RPC whose future is dropped has its line too: its caller went away, or it
/// panicked.
impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let failure =
            if thread::panicking() { Failure::Panic } else { Failure::Cancelled };
        self.log_failure(&failure);
    }
}

/// Writes an error with its causes on one line, of a length that logs can take.
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
