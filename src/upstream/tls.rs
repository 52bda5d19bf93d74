//! TLS to Polytomic: which host is expected, and which protocol is chosen.

use std::{io, sync::Arc};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::SetupError;
use crate::tls::{ClientTls, H2};

/// Opens TLS connections to one host.
#[derive(Clone)]
pub(super) struct Tls {
    files: Arc<ClientTls>,
    host: ServerName<'static>,
}

impl Tls {
    /// Makes a client with the certificates and authorities of `files`.
    ///
    /// # Errors
    ///
    /// If no certificate can be that of the host.
    pub(super) fn new(host: &str, files: Arc<ClientTls>) -> Result<Self, SetupError> {
        let host = ServerName::try_from(host.to_owned())
            .map_err(|error| SetupError::Host(error.into()))?;
        Ok(Self { files, host })
    }

    /// Does the handshake, with the certificates that the files have now.
    pub(super) async fn connect<T>(&self, stream: T) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.files.config());
        connector.connect(self.host.clone(), stream).await
    }
}

/// Reports whether the peer has chosen HTTP/2.
pub(super) fn is_http2<T>(stream: &TlsStream<T>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}
