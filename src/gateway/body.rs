//! The body of a successful response.

use std::sync::Arc;

use bytes::Bytes;

use super::{record::Record, stream::Messages};
use crate::budget::ResponseMemory;

/// The messages of a successful response, and the record of its RPC.
///
/// The RPC ends with its body, not with its headers: a body that is dropped before
/// its end is an RPC that its client cancelled.
#[derive(Debug)]
pub enum Body {
    /// That of a unary RPC.
    Message(Message),
    /// That of a stream.
    Stream(Box<Messages>),
}

/// The message of a unary RPC.
#[derive(Debug)]
pub struct Message {
    message: Bytes,
    memory: Arc<ResponseMemory>,
    record: Record,
}

impl Message {
    pub(super) fn new(
        message: Bytes,
        memory: Arc<ResponseMemory>,
        record: Record,
    ) -> Self {
        Self { message, memory, record }
    }

    /// Returns the message, which ends the RPC, and the memory that it holds until the
    /// client has read it.
    #[must_use]
    pub fn take(self) -> (Bytes, Arc<ResponseMemory>) {
        self.record.succeed();
        (self.message, self.memory)
    }
}
