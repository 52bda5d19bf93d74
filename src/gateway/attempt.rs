//! Sends the REST request of an RPC, and retries it.

use std::{
    pin::{Pin, pin},
    sync::Arc,
};

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Answer, Gateway, check_class,
    deadline::Deadline,
    record::Record,
    stream::{Reading, WINDOW},
};
use crate::{
    auth::{CredentialOwner, Credentials},
    budget::{ExpectedResponse, wait_until},
    contract::Rpc,
    status::{Content, Failure, content},
    upstream::{CancelHandle, Error, Holder, Request},
};

/// When an attempt is abandoned.
struct Ends {
    /// If its body has not been sent, or if it only reads.
    unsent: Instant,
    /// If it may have taken effect. Another attempt would only meet the first, and
    /// Polytomic responds to it with 409.
    sent: Instant,
    /// The deadline of the RPC, for what waits for the gateway's memory.
    rpc: Deadline,
}

impl Gateway {
    /// Sends a request until it succeeds or another attempt would not help.
    pub(super) async fn send(
        &self,
        rpc: &Arc<Rpc>,
        request: &mut Request,
        deadline: Deadline,
        mut credentials: Credentials,
        memory: &ExpectedResponse<'_>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        let payer = self.counts(&credentials).then(|| match credentials.owner() {
            CredentialOwner::Caller => credentials.key(),
            // With one key for all, a client that fails would use up the retries of others.
            CredentialOwner::Gateway => self
                .authenticator
                .id_of(record.peer.as_deref())
                .unwrap_or_else(|| credentials.key()),
        });
        let mut retry = self.retries.first(rpc.binding.is_safe(), payer);
        let is_repeatable = rpc.binding.is_repeatable();
        loop {
            if rpc.is_streaming {
                // Before the attempt: it is not to blame for the wait.
                memory.hold_window(WINDOW, wait_until(deadline.at())).await?;
            }
            let unsent = if retry.is_last() || !is_repeatable {
                deadline.at()
            } else {
                deadline.of_attempt(self.settings.attempt_timeout)
            };
            let sent = if rpc.binding.is_safe() { unsent } else { deadline.at() };
            let ends = Ends { unsent, sent, rpc: deadline };
            let outcome = {
                let attempt =
                    pin!(self.attempt(rpc, request, &credentials, ends, memory, record));
                deadline.bound(attempt).await
            };
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            memory.start_again();
            record.failed(&failure);
            if is_unauthorized(&failure) {
                // The cache must forget the rejected credentials in any case.
                let newer = {
                    let rejected = self.authenticator.rejected(&credentials);
                    let rejected = pin!(async { Ok(rejected.await) });
                    deadline.bound(rejected).await
                };
                let may_renew = is_repeatable && retry.may_renew(record.may_exist());
                let is_usable = |newer: &Credentials| check_class(rpc, newer).is_ok();
                let newer = newer.ok().flatten().filter(is_usable);
                let Some(newer) = newer.filter(|_| may_renew) else {
                    return Err(failure);
                };
                self.metrics.retried(record.reason(&failure));
                credentials = newer;
                retry.renew();
                continue;
            }
            let delay = retry.delay(&failure, deadline.left(), fastrand::f64());
            let Some(delay) = delay.filter(|_| is_repeatable) else {
                return Err(failure);
            };
            self.metrics.retried(record.reason(&failure));
            sleep(delay).await;
        }
    }

    async fn attempt(
        &self,
        rpc: &Arc<Rpc>,
        request: &mut Request,
        credentials: &Credentials,
        ends: Ends,
        memory: &ExpectedResponse<'_>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        request.authorization = Some(credentials.authorization());
        let admission = self.upstream.admit(self.holder(request, credentials))?;
        let requests = self.metrics.requests_of(rpc);
        if record.has_attempts() {
            requests.resent();
        }
        let cancel = record.attempt();
        request.cancel.clone_from(&cancel);
        let Ends { unsent, sent, rpc: deadline } = ends;
        let exchange = {
            let sending = pin!(admission.counted(requests).send(
                request,
                unsent,
                sent,
                deadline.at(),
                memory
            ));
            abandon_unsent(sending, cancel, unsent).await?
        };
        record.responded(exchange.status());
        let content = content(exchange.status(), rpc.binding.is_safe());
        if rpc.is_streaming && content != Content::Error {
            let translator = Arc::clone(&self.translator);
            let reading = Reading::start(rpc, exchange, translator, memory, deadline);
            // In a box, so that the RPCs that are no streams are smaller.
            let reading = Box::pin(reading);
            return Ok(Answer::Stream(Box::new(reading.await?)));
        }
        let receiving =
            self.translator.receive(rpc, exchange, credentials, memory, deadline.at());
        Ok(Answer::Message(receiving.await?))
    }

    /// Reports whether a key is one that its client did not make up, as far as known.
    fn counts(&self, credentials: &Credentials) -> bool {
        let is_verified = credentials.identity().is_some();
        // Without look-ups no key is verified, and the gateway's own needs none.
        let is_gateways = credentials.owner() == CredentialOwner::Gateway;
        is_verified || is_gateways || !self.authenticator.verifies()
    }

    /// Returns for whom a request is sent, as far as failures are concerned.
    fn holder(&self, request: &Request, credentials: &Credentials) -> Holder {
        let key = credentials.key();
        match credentials.owner() {
            CredentialOwner::Caller => Holder::of_client(key, self.counts(credentials)),
            CredentialOwner::Gateway => Holder::of_gateway(key, &request.path_and_query),
        }
    }
}

/// Waits for a response, until the moment `at` if the request can be cancelled then.
async fn abandon_unsent<T>(
    mut response: Pin<&mut impl Future<Output = Result<T, Error>>>,
    cancel: Option<CancelHandle>,
    at: Instant,
) -> Result<T, Error> {
    let Some(cancel) = cancel else { return response.await };
    match timeout_at(at, response.as_mut()).await {
        Ok(result) => result,
        Err(_) if cancel.try_cancel() => Err(Error::Timeout),
        Err(_) => response.await,
    }
}

/// Reports whether Polytomic rejected the credentials.
fn is_unauthorized(failure: &Failure) -> bool {
    matches!(failure, Failure::ErrorResponse(response)
        if response.status() == StatusCode::UNAUTHORIZED && !response.is_foreign())
}
