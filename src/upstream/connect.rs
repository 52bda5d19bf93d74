//! Opens connections to Polytomic: DNS, TCP, TLS, and the start of HTTP.

use std::{error, fmt, io, net::SocketAddr, sync::Arc, time::Duration, vec};

use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    dns::{GaiResolver, Name},
};
use tokio::time::timeout;
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use super::{BaseUrl, BoxError, SetupError, http1, http2, tls, tls::Tls};
use crate::tls::ClientTls;

/// Finds the addresses of a host. It is asked for each connection.
pub(super) type Resolver =
    BoxCloneSyncService<Name, vec::IntoIter<SocketAddr>, io::Error>;

/// Returns the resolver of the system.
pub(super) fn system_resolver() -> Resolver {
    let resolver =
        GaiResolver::new().map_response(|found| found.collect::<Vec<_>>().into_iter());
    BoxCloneSyncService::new(resolver)
}

/// Opens connections to one Polytomic.
#[derive(Clone)]
pub(super) struct Connector {
    origin: Uri,
    tcp: HttpConnector<Resolver>,
    tls: Option<Tls>,
    /// Maximum time to connect, TLS included.
    timeout: Duration,
}

/// An open connection, of the protocol that Polytomic chose.
pub(super) enum Opened {
    Http1(http1::Connection),
    Http2(http2::Connection),
}

#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
struct TooSlow(Duration);

#[derive(Debug, thiserror::Error)]
#[error("the connection ended before its first request")]
struct EndedUnused;

impl Opened {
    /// Fails if the connection has ended already. A server that ends each at once would
    /// otherwise be asked for the next one without a pause.
    pub(super) fn check(self) -> Result<Self, BoxError> {
        match &self {
            Self::Http2(connection) if !connection.is_usable() => Err(EndedUnused.into()),
            Self::Http1(_) | Self::Http2(_) => Ok(self),
        }
    }
}

/// Why there is no connection, for all requests that have waited for it.
#[derive(Debug, Clone)]
pub(super) struct ConnectError(Arc<BoxError>);

impl ConnectError {
    pub(super) fn new(error: BoxError) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source()
    }
}

impl Connector {
    /// Makes a connector. Without `tls`, it speaks plaintext.
    ///
    /// # Errors
    ///
    /// If no certificate can be that of the host.
    pub(super) fn new(
        url: &BaseUrl,
        tls: Option<Arc<ClientTls>>,
        timeout: Duration,
        resolver: Resolver,
    ) -> Result<Self, SetupError> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A host with several addresses gets a part of the time for each.
        tcp.set_connect_timeout(Some(timeout));
        let tls = tls.map(|files| Tls::new(url.host(), files)).transpose()?;
        Ok(Self { origin: url.join("/"), tcp, tls, timeout })
    }

    /// Reports whether Polytomic may choose HTTP/2.
    pub(super) fn may_speak_http2(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// If there is none within the timeout. Nothing of a request has been sent.
    pub(super) async fn connect(&self) -> Result<Opened, BoxError> {
        timeout(self.timeout, self.open()).await.map_err(|_| TooSlow(self.timeout))?
    }

    async fn open(&self) -> Result<Opened, BoxError> {
        let stream = self.tcp.clone().oneshot(self.origin.clone()).await?.into_inner();
        let Some(tls) = &self.tls else {
            return Ok(Opened::Http1(http1::handshake(stream).await?));
        };
        let stream = tls.connect(stream).await?;
        if tls::is_http2(&stream) {
            return Ok(Opened::Http2(http2::handshake(stream).await?));
        }
        Ok(Opened::Http1(http1::handshake(stream).await?))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
