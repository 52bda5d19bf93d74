//! TLS of the listener.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};

use super::{
    Certificate, Error, H2, KeyPair, PemFile, Problem, Reloaded, identity, pem::Contents,
    reloaded::Built,
};
use crate::peer::{Identity, TlsVersion};

/// The files of a listener that speaks TLS.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// The certificate that clients see, and its key.
    pub pair: KeyPair,
    /// The authorities of client certificates.
    pub client_ca: Option<PemFile>,
    /// Whether clients show a certificate. Needs `client_ca` unless off.
    pub client_auth: ClientAuth,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    Off,
    /// They may. One that is not valid ends the connection.
    Optional,
    /// They must.
    Required,
}

/// TLS of the listener, as its files have it now.
pub type ServerTls = Reloaded<ServerConfig>;

impl ServerFiles {
    /// Reads the files, which blocks the thread for a moment.
    ///
    /// # Errors
    ///
    /// Names the file, its flag and the problem.
    pub fn load(self) -> Result<Arc<ServerTls>, Error> {
        let files = self.pair.files().into_iter().chain(&self.client_ca);
        let files = files.cloned().collect();
        Reloaded::load("listener", files, move |contents| self.build(contents))
    }

    /// Reports whether every connection has an identity.
    #[must_use]
    pub fn requires_identity(&self) -> bool {
        self.client_auth == ClientAuth::Required
    }

    fn build(&self, contents: &Contents) -> Result<Built<ServerConfig>, Error> {
        let (certified, mut certificates) = self.pair.load(contents)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match &self.client_ca {
            Some(file) => {
                let (verifier, authorities) = self.verifier(file, contents, &provider)?;
                certificates.extend(authorities);
                verifier
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of TLS 1.2 and 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![H2.to_vec()];
        // A resumed session would keep the identity of a certificate that has expired since,
        // or whose authority is no longer trusted. Connections are few and last long.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Built { config, certificates })
    }

    fn verifier(
        &self,
        file: &PemFile,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(Arc<dyn ClientCertVerifier>, Vec<Certificate>), Error> {
        let (authorities, described) = file.certificates(contents)?;
        let mut roots = RootCertStore::empty();
        for (place, authority) in authorities.into_iter().enumerate() {
            let added = roots.add(authority);
            added.map_err(|_| file.error(Problem::Authority(place + 1)))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(provider),
        );
        let verifier = match self.client_auth {
            ClientAuth::Off => {
                return Ok((WebPkiClientVerifier::no_client_auth(), described));
            }
            ClientAuth::Optional => builder.allow_unauthenticated().build(),
            ClientAuth::Required => builder.build(),
        };
        let verifier = verifier
            .map_err(|error| file.error(Problem::Authorities(error.to_string())))?;
        Ok((verifier, described))
    }
}

/// Who a client is, once its handshake has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) version: TlsVersion,
    pub(crate) identity: Option<Identity>,
}

/// A client has shown a valid certificate without a name that can be used.
#[derive(Debug, thiserror::Error)]
#[error("the client's certificate has no name that can be an identity")]
pub(crate) struct Nameless;

impl Security {
    /// Returns the version that a connection has agreed on, and whose certificate its client
    /// has shown.
    ///
    /// # Errors
    ///
    /// If the certificate has no name that can be used.
    pub(crate) fn of(connection: &ServerConnection) -> Result<Self, Nameless> {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
            _ => TlsVersion::V1_3,
        };
        // The first is the client's, the others are those of its issuers.
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let identity = certificate.map(|leaf| identity::of(leaf).ok_or(Nameless));
        Ok(Self { version, identity: identity.transpose()? })
    }
}
