//! The body of a successful response.

use bytes::Bytes;

use super::record::Record;

/// The messages of a successful response, and the record of its RPC.
///
/// The RPC ends with its body, not with its headers: a body that is dropped before
/// its end is an RPC that its client cancelled.
#[derive(Debug)]
pub struct Body {
    message: Bytes,
    record: Record,
}

impl Body {
    /// Returns the body of a unary RPC.
    pub(super) fn new(message: Bytes, record: Record) -> Self {
        Self { message, record }
    }

    /// Returns the only message, which ends the RPC.
    #[must_use]
    pub fn into_message(self) -> Bytes {
        self.record.succeed();
        self.message
    }
}
