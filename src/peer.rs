//! The other side of a client's connection: what is known of it before its first RPC.
//!
//! All rooms may use it. `net` makes one for each connection, and its RPCs share it.

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// The other side of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The address and port, as the log shows them.
    pub address: Box<str>,
    /// The version of TLS, or `None` for plaintext.
    pub tls: Option<TlsVersion>,
    /// The name in its certificate, if it has shown one.
    pub identity: Option<Identity>,
    /// Whether the gateway has ended the connection, with the RPCs on it.
    is_left: AtomicBool,
}

/// A version of TLS that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The name of a client in a certificate that a trusted authority has issued, and whose
/// key the client holds.
///
/// It is a SPIFFE ID, a DNS name, a URI, an email address or a subject. Its form tells
/// which: `spiffe://mesh/orders`, `orders.example.com`, `urn:orders`, `orders@example.com`,
/// `CN=orders`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Box<str>);

impl Peer {
    /// Returns a peer that speaks plaintext.
    #[must_use]
    pub fn plaintext(address: SocketAddr) -> Self {
        Self::new(address, None, None)
    }

    /// Returns a peer with the name in its certificate, if it has shown one.
    pub(crate) fn new(
        address: SocketAddr,
        tls: Option<TlsVersion>,
        identity: Option<Identity>,
    ) -> Self {
        let address = address.to_string().into();
        Self { address, tls, identity, is_left: AtomicBool::default() }
    }

    /// Records that the gateway ends the connection: an RPC on it that is dropped now was
    /// not cancelled by its client.
    pub(crate) fn leave(&self) {
        self.is_left.store(true, Relaxed);
    }

    /// Reports whether the gateway has ended the connection.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Relaxed)
    }
}

impl TlsVersion {
    /// Returns the number of the version.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl Identity {
    /// Makes an identity of a name that a verified certificate has.
    pub(crate) fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
