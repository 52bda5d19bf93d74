//! Why a gRPC request does not become an RPC.

/// What is wrong with a gRPC request, whatever its RPC.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The gateway serves no RPC of this name.
    #[error("the gateway serves no RPC of this name")]
    UnknownRpc,
    /// The body is not one length-prefixed message; states the problem.
    #[error("the request body is malformed: {0}")]
    Malformed(String),
    /// The message is compressed, which the gateway does not read.
    #[error("the request message is compressed")]
    Compressed,
    /// The message is flagged as compressed, but the headers name no compression.
    #[error("the request message is flagged as compressed, without a grpc-encoding")]
    CompressionUndeclared,
    /// The message, or the messages of a stream, exceed `limit` bytes.
    #[error("the request message is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The client did not send the whole message in time.
    #[error("the request message did not arrive in time")]
    Late,
    /// The client ended the stream before the end of the message.
    #[error("the client cancelled the RPC")]
    Cancelled,
}
