//! From Polytomic's response to the response message, or to the failure that it is.
//!
//! A large response takes milliseconds to translate, in which its thread serves no other
//! RPC. So it is translated on a thread of its own kind: those that may block.

use std::{panic::resume_unwind, sync::Arc, thread::available_parallelism};

use bytes::Bytes;
use tokio::{sync::Semaphore, task::spawn_blocking, time::Instant};

use crate::{
    auth::Credentials,
    budget::{ExpectedResponse, wait_until},
    contract::Rpc,
    status::{Content, ErrorResponse, Failure, content},
    transcode,
    upstream::{Error, Response},
};

/// Maximum bytes of a body that is translated where it was received. The slowest JSON, a
/// list of digits, takes 10 ns per byte: 0.7 ms in all.
const LARGEST_IN_PLACE: usize = 64 * 1024;

/// Bytes that there are for a message in any case, however short its JSON is.
const LEAST_ROOM: usize = 1024;

/// Messages above this size are cut to their size: they stay in memory until the client
/// has read them.
const LARGEST_UNCUT: usize = 64 * 1024;

/// Translates responses into messages.
#[derive(Debug)]
pub(super) struct Translator {
    /// The threads for large responses: half of the processors, so that the other half
    /// serves RPCs.
    threads: Arc<Semaphore>,
}

/// A response and what it is translated with.
#[derive(Clone)]
struct Translation {
    rpc: Arc<Rpc>,
    response: Response,
    credentials: Credentials,
}

impl Translator {
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self { threads: Arc::new(Semaphore::new(processors.div_ceil(2))) }
    }

    /// Translates Polytomic's response into the wire bytes of the response message, by
    /// the `deadline`.
    ///
    /// The credentials are those that the request was sent with: an error response that
    /// contains the key must not reach the client with it.
    pub(super) async fn translate(
        &self,
        rpc: &Arc<Rpc>,
        response: Response,
        credentials: &Credentials,
        memory: &ExpectedResponse<'_>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let (rpc, credentials) = (Arc::clone(rpc), credentials.clone());
        let translation = Translation { rpc, response, credentials };
        let json = translation.response.body.len();
        let mut room = json.max(LEAST_ROOM);
        let message = loop {
            match self.run(&translation, room, memory.shared()).await {
                // The message is made anew: JSON rarely grows, and then once or twice.
                Err(Failure::Response(error)) if error.is_too_large() => {
                    let until = wait_until(deadline);
                    let larger = memory.grow_for_message(json, room, until).await;
                    room = larger.map_err(Error::NoMemory)?;
                }
                result => break result?,
            }
        };
        drop(translation);
        let held = memory.hold_message(message.len(), wait_until(deadline)).await;
        held.map_err(Error::NoMemory)?;
        Ok(message)
    }

    async fn run<M: Send + 'static>(
        &self,
        translation: &Translation,
        room: usize,
        memory: M,
    ) -> Result<Bytes, Failure> {
        if translation.response.body.len().max(room) <= LARGEST_IN_PLACE {
            return translation.run(room);
        }
        let translation = translation.clone();
        self.on_thread(memory, move || translation.run(room)).await
    }

    /// Does work on a thread that serves no RPC. The work holds `memory` to its end, even
    /// if its RPC has ended before.
    async fn on_thread<M: Send + 'static, T: Send + 'static>(
        &self,
        memory: M,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.threads).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        // Work that its RPC has abandoned holds its permit to the end, too.
        let working = spawn_blocking(move || {
            let _permit = permit;
            // The result is of this memory, too.
            (work(), memory)
        });
        let done = working.await;
        done.unwrap_or_else(|error| resume_unwind(error.into_panic())).0
    }
}

impl Translation {
    fn run(&self, room: usize) -> Result<Bytes, Failure> {
        let Self { rpc, response, credentials } = self;
        let json: &[u8] = match content(response.status, rpc.binding.is_safe()) {
            Content::Error => {
                let redactor = credentials.redactor();
                let error = ErrorResponse::new(
                    response.status,
                    &response.headers,
                    &response.body,
                    &|text| redactor.redact(text).into_owned(),
                );
                return Err(Failure::ErrorResponse(Box::new(error)));
            }
            Content::Empty => b"{}",
            Content::Message => response.json()?,
        };
        let mut message =
            transcode::response(&rpc.response, json, room).map_err(Failure::Response)?;
        if message.len() > LARGEST_UNCUT {
            message.shrink_to_fit();
        }
        Ok(message.into())
    }
}

#[cfg(test)]
mod tests;
