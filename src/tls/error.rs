//! Why files cannot be used for TLS. No text has a part of a key.

use std::path::PathBuf;

use crate::files::ReadError;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error("{flag} {}: {problem}", path.display())]
    File {
        /// The flag that names the file.
        flag: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it. Its text is a part of this one's.
        problem: Problem,
    },
    /// The system has no certificate authorities that can be used.
    #[error(
        "no CA certificate of the system can be used, so Polytomic's cannot be checked; \
         install the package ca-certificates, or give a file with --upstream-ca-file"
    )]
    TrustStore(#[source] rustls::Error),
    /// The files changed during each of several reads.
    #[error("the certificate files change while they are read")]
    Changing,
    /// The task that read the files was lost.
    #[error("the certificate files could not be read")]
    Lost,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It has no content.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// It is not PEM; says where that fails.
    #[error("it is not PEM: {0}")]
    Pem(&'static str),
    /// It is text that PEM's readers do not know.
    #[error("it is UTF-16; save it as UTF-8")]
    Utf16,
    /// It is PEM without a certificate.
    #[error("it has no certificate")]
    NoCertificate,
    /// It is PEM without a private key.
    #[error("it has no private key")]
    NoKey,
    /// It is PEM with several private keys.
    #[error("it has {0} private keys; leave the one of the certificate")]
    Keys(usize),
    /// The gateway has no passphrase.
    #[error("its key is encrypted; decrypt it, as `openssl pkey` does")]
    Encrypted,
    /// The key is broken, or of a kind that TLS does not use.
    #[error("its key cannot be used; give an RSA, ECDSA or Ed25519 key")]
    Key,
    /// The key is that of another certificate.
    #[error("its key does not match the certificate of {flag}")]
    Mismatch {
        /// The flag of the certificate.
        flag: &'static str,
    },
    /// A certificate, counted from 1, is broken.
    #[error("its certificate {0} cannot be read")]
    Certificate(usize),
    /// A certificate, counted from 1, is that of the key.
    #[error("its certificate {0} is that of the key; put it first, then its issuers")]
    NotFirst(usize),
    /// A certificate, counted from 1, has issued none before it.
    #[error(
        "its certificate {0} has issued none of those before it; order them from the \
         certificate of the key to the root"
    )]
    Order(usize),
    /// A certificate, counted from 1, cannot be an authority.
    #[error("its certificate {0} cannot be that of an authority")]
    Authority(usize),
    /// The authorities cannot be used together.
    #[error("its authorities cannot be used: {0}")]
    Authorities(String),
}
