//! Certificates, good and bad.

use std::{io::Write, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::NamedTempFile;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A certificate authority of a test's own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// Returns the path of the authority's certificate.
    pub(crate) fn file(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Serves a name or address with a certificate that was valid in these years.
    pub(crate) fn server(&self, name: &str, years: [i32; 2], h2: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, years).signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().to_vec(), &key, h2)
    }
}

/// Serves with a certificate that vouches for itself.
pub(crate) fn self_signed(name: &str, years: [i32; 2]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, years).self_signed(&key).unwrap();
    acceptor(certificate.der().to_vec(), &key, false)
}

fn params(name: &str, [from, to]: [i32; 2]) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

fn acceptor(certificate: Vec<u8>, key: &KeyPair, h2: bool) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    if h2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    TlsAcceptor::from(Arc::new(config))
}
