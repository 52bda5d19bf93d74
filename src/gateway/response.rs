//! From Polytomic's response to the response message, or to the failure that it is.
//!
//! The message is made while its JSON arrives, so only the message and a part of the JSON
//! are in memory. The work is done in turns, between which the thread serves other RPCs.
//! After its first turn, a response waits for the next in a queue. The runtime gets as many
//! of these as there are processors: so an RPC that has little to do waits for one turn,
//! however many long responses arrive together. What cannot be divided, because it is one
//! large value, is done where the runtime moves the other RPCs to another thread.

use std::{sync::Arc, thread::available_parallelism};

use bytes::Bytes;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
    task::{block_in_place, yield_now},
    time::Instant,
};

use crate::{
    auth::Credentials,
    budget::{ExpectedResponse, Reserve, wait_until},
    contract::Rpc,
    status::{Content, ErrorResponse, Failure, content},
    transcode::{self, Elements, Progress, ResponseError, SLACK, TURN},
    upstream::{Error, Exchange},
};

/// Bytes that there are for a message in any case, however short its JSON is.
const LEAST_ROOM: usize = 1024;

/// Messages above this size are cut to their size: they stay in memory until the client
/// has read them.
const LARGEST_UNCUT: usize = 64 * 1024;

/// Translates responses into messages.
#[derive(Debug)]
pub(super) struct Translator {
    /// The threads for work that takes long: half of the processors, so that the other
    /// half serves RPCs.
    threads: Semaphore,
    /// The turns of long responses that are taken at the same time: one per processor.
    turns: Semaphore,
}

impl Translator {
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            threads: Semaphore::new(processors.div_ceil(2)),
            turns: Semaphore::new(processors),
        }
    }

    /// Reads Polytomic's response and translates it into the wire bytes of the response
    /// message, by the `deadline`.
    ///
    /// The credentials are those that the request was sent with: an error response that
    /// contains the key must not reach the client with it.
    pub(super) async fn receive(
        &self,
        rpc: &Arc<Rpc>,
        mut exchange: Exchange<&ExpectedResponse<'_>>,
        credentials: &Credentials,
        memory: &ExpectedResponse<'_>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let message = match content(exchange.status(), rpc.binding.is_safe()) {
            Content::Error => {
                return Err(self.error_response(exchange, credentials).await);
            }
            Content::Empty => {
                exchange.drain().await?;
                transcode::response(&rpc.response, b"{}", LEAST_ROOM)
                    .map_err(Failure::Response)?
            }
            Content::Message => {
                if let Err(error) = exchange.check_json() {
                    exchange.drain().await?;
                    return Err(error.into());
                }
                self.message(rpc, exchange, memory).await?
            }
        };
        let held = memory.hold_message(message.len(), wait_until(deadline)).await;
        held.map_err(Error::NoMemory)?;
        Ok(message.into())
    }

    async fn error_response<R: Reserve>(
        &self,
        exchange: Exchange<R>,
        credentials: &Credentials,
    ) -> Failure {
        let response = match exchange.collect().await {
            Ok(response) => response,
            Err(error) => return error.into(),
        };
        let redactor = credentials.redactor();
        let read = || {
            let redact = |text: &str| redactor.redact(text).into_owned();
            ErrorResponse::new(
                response.status,
                &response.headers,
                &response.body,
                &redact,
            )
        };
        Failure::ErrorResponse(Box::new(self.work(response.body.len(), read).await))
    }

    async fn message(
        &self,
        rpc: &Arc<Rpc>,
        mut exchange: Exchange<&ExpectedResponse<'_>>,
        memory: &ExpectedResponse<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let (largest, is_stated) = exchange.largest()?;
        let mut elements = Elements::new(rpc, largest);
        // A message is rarely larger than its JSON.
        let room = if is_stated { largest.max(LEAST_ROOM) } else { LEAST_ROOM };
        let mut held = largest.min(TURN);
        let mut message = Vec::new();
        let mut is_long = false;
        // The rest of what was read of the socket together.
        let mut chunk = Bytes::new();
        exchange.reserve(room + SLACK + held).await?;
        message.reserve_exact(room + SLACK);
        loop {
            let window = elements.window();
            let read = if window > TURN {
                self.work(window, || elements.read(&mut message)).await
            } else {
                let _turn = self.turn(is_long && window > 0).await;
                elements.read(&mut message)
            };
            match read {
                Ok(Progress::Input) => {
                    if chunk.is_empty() {
                        let Some(next) = exchange.limited_chunk().await? else {
                            elements.end();
                            continue;
                        };
                        chunk = next;
                    }
                    let piece = chunk.split_to(chunk.len().min(TURN));
                    let holds = elements.held_with(piece.len());
                    if holds > held {
                        held = holds;
                        exchange.reserve(message.capacity() + held).await?;
                    }
                    elements.push(piece);
                }
                Ok(Progress::Room(least)) => {
                    // Both are in memory while the message is moved.
                    let moved = message.capacity() + held;
                    let largest = memory.largest().saturating_sub(moved);
                    let larger = least.max((2 * message.capacity()).min(largest));
                    exchange.reserve(moved + larger).await?;
                    message.reserve_exact(larger - message.len());
                }
                Ok(Progress::Turn) => is_long = true,
                Ok(Progress::Elements(_)) => {}
                Ok(Progress::End) => break,
                Err(error) => return Err(failed(&mut exchange, error).await),
            }
        }
        if message.len() > LARGEST_UNCUT {
            message.shrink_to_fit();
        }
        Ok(message)
    }

    /// Waits for the turn of a response that has had its first. Those that wait have theirs
    /// one after the other, and other tasks run between two. The turn lasts until the permit
    /// is dropped.
    pub(super) async fn turn(&self, is_long: bool) -> Option<SemaphorePermit<'_>> {
        if !is_long {
            return None;
        }
        let permit = self.turns.acquire().await.expect("the semaphore is never closed");
        // With the permit, so that others wait for it: whatever else is ready runs first.
        yield_now().await;
        Some(permit)
    }

    /// Does work on `bytes`, which cannot be divided. Other tasks of the thread go on.
    pub(super) async fn work<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes <= TURN
            || Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread
        {
            return work();
        }
        let _permit =
            self.threads.acquire().await.expect("the semaphore is never closed");
        block_in_place(work)
    }
}

/// Returns the failure of a response that is no message. A response that breaks off is
/// one that broke off, wherever it was wrong before.
pub(super) async fn failed<R: Reserve>(
    exchange: &mut Exchange<R>,
    error: ResponseError,
) -> Failure {
    match exchange.drain().await {
        Ok(()) => Failure::Response(error),
        Err(broken) => broken.into(),
    }
}

#[cfg(test)]
mod tests;
