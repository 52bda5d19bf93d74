//! The protocols between the gateway and an upstream.

use std::fmt;

/// A protocol that an upstream speaks. Polytomic speaks HTTP/2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Without TLS.
    #[default]
    Http1,
    /// Within TLS, chosen by ALPN.
    Http2,
}

impl fmt::Display for Protocol {
    /// Writes the protocol as it stands in a request line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Runs a test over HTTP/1.1, then over HTTP/2.
#[expect(clippy::print_stdout, reason = "a failure shows which protocol it is about")]
pub async fn over_both(test: impl AsyncFn(Protocol)) {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        println!("over {protocol}:");
        test(protocol).await;
    }
}
