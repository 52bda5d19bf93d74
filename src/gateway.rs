//! The life of one RPC: metadata and message in, REST call out, answer back.
//!
//! The gateway knows no particular RPC. It follows the compiled [`Contract`],
//! and whatever goes wrong becomes a status in one place.

mod deadline;
mod idempotency;
mod identity;
mod metadata;
mod record;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use tonic::Status;

use self::{deadline::Deadline, record::Record};
pub use self::{deadline::parse_timeout, metadata::API_VERSIONS};
use crate::{
    auth::{self, Authenticator, Credentials, Holder},
    contract::{Contract, Rpc},
    status::{self, Context, Failure, Refusal, Violation, Whose},
    transcode::{self, RequestError},
    upstream::{Answer, Call, Upstream},
};

/// Serves the RPCs of a contract from one upstream.
#[derive(Debug)]
pub struct Gateway {
    contract: Contract,
    authenticator: Arc<Authenticator>,
    upstream: Upstream,
    settings: Settings,
}

/// What a gateway can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The version of Polytomic's API, unless a caller asks for another.
    pub api_version: HeaderValue,
    /// How long an RPC may take at most, and takes if its caller sets no
    /// deadline.
    pub timeout: Duration,
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
        Self { contract, authenticator, upstream, settings }
    }

    /// Returns what is served.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Performs one RPC. The message is the wire bytes of its request, the
    /// result those of its response.
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
        request: tonic::Request<Bytes>,
    ) -> Result<tonic::Response<Bytes>, Status> {
        let (metadata, _, message) = request.into_parts();
        let metadata = metadata.into_headers();
        let mut record = Record::new(rpc, &metadata, &self.settings.api_version);
        let outcome = self.perform(rpc, &metadata, &message, &mut record).await;
        record.finish(outcome)
    }

    async fn perform(
        &self,
        rpc: &Rpc,
        metadata: &HeaderMap,
        message: &[u8],
        record: &mut Record<'_>,
    ) -> Result<Bytes, Failure> {
        let credentials = self.credentials(metadata, record).await?;
        let (mut call, deadline) = self.prepare(rpc, metadata, message, record)?;
        call.headers.insert(AUTHORIZATION, credentials.authorization());
        let answer = self.send(call, &deadline, &credentials, record).await?;
        translate(rpc, &answer, &credentials)
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
                    record.whose_credentials = whose(holder);
                }
                refused(&error)
            })?;
        record.whose_credentials = whose(credentials.holder());
        record.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    /// Makes the REST call of an RPC, but for its credentials. Tells everything
    /// that is wrong with the metadata and the message at once.
    fn prepare(
        &self,
        rpc: &Rpc,
        metadata: &HeaderMap,
        message: &[u8],
        record: &mut Record<'_>,
    ) -> Result<(Call, Deadline), Failure> {
        let mut violations = Vec::new();
        let mut headers = HeaderMap::new();
        let deadline = note(
            &mut violations,
            Deadline::new(metadata, record.started, self.settings.timeout),
        );
        if let Some(Some(version)) = note(&mut violations, metadata::version(metadata)) {
            record.api_version = version;
        }
        headers.insert(metadata::VERSION, record.api_version.clone());
        headers.insert(metadata::REQUEST_ID, record.request_id.clone());
        metadata::copy_trace_context(metadata, &mut headers);
        if rpc.binding.method == Method::POST
            && let Some(key) =
                note(&mut violations, idempotency::key(metadata, rpc, message))
        {
            headers.insert(idempotency::HEADER, key.clone());
            record.idempotency_key = Some(key);
        }

        match (transcode::request(rpc, message), deadline) {
            (Err(RequestError::Malformed(problem)), _) => {
                Err(Failure::InvalidMessage(problem))
            }
            (Err(RequestError::Invalid(more)), _) => {
                violations.extend(more);
                Err(Failure::InvalidFields(violations))
            }
            (Ok(rest), Some(deadline)) if violations.is_empty() => {
                record.resource = rest.resource;
                let call = Call {
                    method: rest.method,
                    path_and_query: rest.path_and_query,
                    headers,
                    body: rest.body.map(Bytes::from),
                };
                Ok((call, deadline))
            }
            (Ok(_), _) => Err(Failure::InvalidFields(violations)),
        }
    }

    /// Sends a call, and sends it again if Polytomic refuses the gateway's own
    /// credentials and there are newer ones.
    async fn send(
        &self,
        mut call: Call,
        deadline: &Deadline,
        credentials: &Credentials,
        record: &mut Record<'_>,
    ) -> Result<Answer, Failure> {
        let answer = self.attempt(call.clone(), deadline, record).await?;
        if answer.status != http::StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(newer) = self.authenticator.rejected(credentials).await else {
            return Ok(answer);
        };
        call.headers.insert(AUTHORIZATION, newer.authorization());
        self.attempt(call, deadline, record).await
    }

    async fn attempt(
        &self,
        call: Call,
        deadline: &Deadline,
        record: &mut Record<'_>,
    ) -> Result<Answer, Failure> {
        record.attempt();
        let answer =
            self.upstream.send(call, deadline.at()).await.map_err(|failure| {
                if matches!(failure, Failure::Timeout) {
                    deadline.failure()
                } else {
                    failure
                }
            })?;
        record.answered(answer.status);
        Ok(answer)
    }
}

/// Translates Polytomic's answer into the wire bytes of the response message.
fn translate(
    rpc: &Rpc,
    answer: &Answer,
    credentials: &Credentials,
) -> Result<Bytes, Failure> {
    let body: &[u8] = match status::answer(answer.status, rpc.binding.is_safe()) {
        status::Answer::Refused => {
            let body = credentials.blank(&answer.body);
            let refusal = Refusal::new(answer.status, &answer.headers, &body);
            return Err(Failure::Refused(Box::new(refusal)));
        }
        status::Answer::Empty => b"{}",
        status::Answer::Decode => {
            check_is_json(&answer.headers)?;
            &answer.body
        }
    };
    transcode::response(&rpc.response, body)
        .map(Bytes::from)
        .map_err(|error| Failure::BadResponse(error.to_string()))
}

/// Refuses an answer that says of itself that it is not plain JSON. One that
/// says nothing is read as JSON.
fn check_is_json(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Failure::BadResponse(
            "it is compressed, which was not asked for".to_owned(),
        ));
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence =
        content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Failure::BadResponse(
        "its content type is not JSON; the usual cause is a wrong upstream URL or a login page"
            .to_owned(),
    ))
}

/// Refuses a request before it has become an RPC.
#[must_use]
pub fn refuse(metadata: &HeaderMap, failure: Failure) -> Status {
    let request_id = metadata::request_id(metadata);
    failure.into_status(&Context::new(request_id.to_str().unwrap_or_default()))
}

fn whose(holder: Holder) -> Whose {
    match holder {
        Holder::Caller => Whose::Caller,
        Holder::Gateway => Whose::Gateway,
    }
}

/// Translates why there are no credentials.
fn refused(error: &auth::Error) -> Failure {
    match error {
        auth::Error::Missing => Failure::CredentialsMissing,
        auth::Error::Malformed(problem) => Failure::CredentialsMalformed(problem),
        auth::Error::Rejected { .. } => Failure::CredentialsRejected,
        auth::Error::CallerToken => Failure::CallerTokenRejected,
        auth::Error::NotPartner { class, .. } => {
            Failure::NotPartnerKey { class: class.to_string() }
        }
        auth::Error::Unavailable(what) => Failure::CredentialsUnavailable(what),
        _ => Failure::Panic,
    }
}

/// Keeps a value, or notes the violation.
fn note<T>(violations: &mut Vec<Violation>, result: Result<T, Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}
