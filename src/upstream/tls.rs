//! TLS to Polytomic: whom to trust, and which protocols to offer.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, ServerName,
        pem::{self, PemObject},
    },
};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::SetupError;

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";

/// Opens TLS connections to one host.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl Tls {
    /// Makes a client that trusts the system's certificate authorities, and those in
    /// `authorities` (PEM).
    ///
    /// # Errors
    ///
    /// If `authorities` has no certificate, or there is nobody to trust.
    pub(super) fn new(
        host: &str,
        authorities: Option<&[u8]>,
    ) -> Result<Self, SetupError> {
        let host = ServerName::try_from(host.to_owned())
            .map_err(|error| SetupError::Tls(error.into()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match authorities {
            Some(pem) => Verifier::new_with_extra_roots(parse(pem)?, provider.clone())
                .map_err(|error| SetupError::Authorities(error.to_string()))?,
            None => Verifier::new(provider.clone()).map_err(SetupError::TrustStore)?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Tls(error.into()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), host })
    }

    /// Does the handshake.
    pub(super) async fn connect<T>(&self, stream: T) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.host.clone(), stream).await
    }
}

/// Reports whether the peer has chosen HTTP/2.
pub(super) fn is_http2<T>(stream: &TlsStream<T>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

fn parse(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unusable = |problem: &str| SetupError::Authorities(problem.to_owned());
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err(unusable("it is UTF-16; save it as UTF-8"));
    }
    // An editor may have put the byte order mark of UTF-8 before it.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(content).collect();
    let certificates = certificates.map_err(|error| unusable(describe(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("it has no certificate"));
    }
    Ok(certificates)
}

/// Returns a text for an error of the library, whose own quotes lines as numbers.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it is not PEM: a section has no end line"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "it is not PEM: a line of BEGIN does not end with five dashes"
        }
        _ => "it is not PEM: a section is not base64",
    }
}
