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
#[expect(clippy::large_enum_variant, reason = "a message is the usual body")]
pub enum Body {
    /// That of a unary RPC.
    Message(Message),
    /// That of a stream.
    Stream(Box<Messages>),
}

/// The message of a unary RPC.
#[derive(Debug)]
pub struct Message {
    bytes: Bytes,
    memory: Arc<ResponseMemory>,
    record: Record,
}

impl Message {
    pub(super) fn new(bytes: Bytes, memory: Arc<ResponseMemory>, record: Record) -> Self {
        Self { bytes, memory, record }
    }

    /// Returns the bytes of the message, which ends the RPC, and the memory that it holds until the
    /// client has read it.
    #[must_use]
    pub fn take(self) -> (Bytes, Arc<ResponseMemory>) {
        self.record.succeed();
        (self.bytes, self.memory)
    }
}
