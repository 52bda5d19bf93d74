//! Sends the REST request of an RPC, and retries it.

use bytes::Bytes;
use http::{StatusCode, header::AUTHORIZATION};
use tokio::time::{Instant, sleep};

use super::{Gateway, deadline::Deadline, record::Record, response};
use crate::{
    auth::Credentials,
    budget::ExpectedResponse,
    contract::Rpc,
    status::Failure,
    upstream::{Error, Request},
};

impl Gateway {
    /// Sends a request until it succeeds or another attempt would not help.
    pub(super) async fn send(
        &self,
        rpc: &Rpc,
        request: Request,
        deadline: Deadline,
        mut credentials: Credentials,
        memory: &ExpectedResponse<'_>,
        record: &mut Record,
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
                self.attempt(rpc, request.clone(), &credentials, until, memory, record);
            let failure = match deadline.bound(attempt).await {
                Ok(message) => return Ok(message),
                Err(failure) => failure,
            };
            record.failed(&failure);
            if is_unauthorized(&failure) {
                // The cache must forget the rejected credentials in any case.
                let rejected = self.authenticator.rejected(&credentials);
                let newer = deadline.bound(async { Ok(rejected.await) }).await;
                // Polytomic may record idempotency keys by credentials: newer ones
                // could repeat what the older ones began.
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
        mut request: Request,
        credentials: &Credentials,
        until: Instant,
        memory: &ExpectedResponse<'_>,
        record: &mut Record,
    ) -> Result<Bytes, Failure> {
        request.headers.insert(AUTHORIZATION, credentials.authorization());
        let admission = self.upstream.admit()?;
        request.cancel = record.attempt();
        let exchange =
            admission.send(request, until, |bytes| memory.grow_for(bytes)).await?;
        let response = exchange.collect().await?;
        record.responded(response.status);
        let message = response::translate(rpc, &response, credentials)?;
        memory.shrink_to(message.len()).map_err(Error::NoMemory)?;
        Ok(message)
    }
}

/// Reports whether Polytomic rejected the credentials.
fn is_unauthorized(failure: &Failure) -> bool {
    matches!(failure, Failure::ErrorResponse(response)
        if response.status() == StatusCode::UNAUTHORIZED && !response.is_foreign())
}
