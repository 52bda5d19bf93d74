//! TLS on both sides: certificates, keys and certificate authorities in files, which are
//! read again when they change, and whose certificate a client has.
//!
//! A connection keeps the certificate with which it began; new ones get the new one.

mod certificate;
mod client;
mod error;
mod identity;
mod pem;
mod reloaded;
mod server;
mod stats;

pub use self::{
    certificate::Certificate,
    client::{ClientFiles, ClientTls},
    error::{Error, Problem},
    pem::{KeyPair, PemFile},
    reloaded::Reloaded,
    server::{ClientAuth, ServerFiles, ServerTls},
    stats::Stats,
};

pub(crate) use self::server::Security;

/// The ALPN name of HTTP/2.
pub(crate) const H2: &[u8] = b"h2";

#[cfg(test)]
mod tests;
