//! The body of a successful response.

use std::sync::Arc;

use bytes::Bytes;

use super::record::Record;
use crate::budget::ResponseMemory;

/// The messages of a successful response, and the record of its RPC.
///
/// The RPC ends with its body, not with its headers: a body that is dropped before
/// its end is an RPC that its client cancelled.
#[derive(Debug)]
pub struct Body {
    message: Bytes,
    memory: Arc<ResponseMemory>,
    record: Record,
}

impl Body {
    /// Returns the body of a unary RPC.
    pub(super) fn new(
        message: Bytes,
        memory: Arc<ResponseMemory>,
        record: Record,
    ) -> Self {
        Self { message, memory, record }
    }

    /// Returns the only message, which ends the RPC, and the memory that it holds until
    /// the client has read it.
    #[must_use]
    pub fn into_message(self) -> (Bytes, Arc<ResponseMemory>) {
        self.record.succeed();
        (self.message, self.memory)
    }
}
