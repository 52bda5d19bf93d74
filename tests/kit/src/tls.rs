//! Certificates, valid and not.

use std::{io::Write, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use crate::{HOST, Protocol};

/// The years of a certificate that is valid now.
pub const VALID: [i32; 2] = [2020, 2120];

/// A certificate authority that only tests trust.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a test authority");
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// Returns the path of the authority's certificate.
    pub fn file(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Returns an acceptor of TLS for this machine, which chooses a protocol by ALPN.
    pub fn server(&self, protocol: Protocol) -> TlsAcceptor {
        self.server_of(HOST, VALID, protocol)
    }

    /// Returns the same, for a name or address and the years of its certificate.
    pub fn server_of(
        &self,
        name: &str,
        years: [i32; 2],
        protocol: Protocol,
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, years).signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().to_vec(), &key, protocol)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns an acceptor of TLS for this machine with a self-signed certificate.
pub fn self_signed() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = params(HOST, VALID).self_signed(&key).unwrap();
    acceptor(certificate.der().to_vec(), &key, Protocol::Http1)
}

/// Sends a fatal alert, as a server does that has received a corrupt record.
pub async fn alert(stream: &mut TlsStream<TcpStream>) {
    const CORRUPT: [u8; 37] = {
        let mut record = [0; 37];
        // Application data of 32 bytes.
        (record[0], record[1], record[2], record[4]) = (23, 3, 3, 32);
        record
    };
    let (socket, tls) = stream.get_mut();
    tls.read_tls(&mut &CORRUPT[..]).unwrap();
    tls.process_new_packets().unwrap_err();
    let mut alert = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut alert).unwrap();
    }
    socket.write_all(&alert).await.unwrap();
}

fn params(name: &str, [from, to]: [i32; 2]) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

fn acceptor(certificate: Vec<u8>, key: &KeyPair, protocol: Protocol) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    if protocol == Protocol::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    TlsAcceptor::from(Arc::new(config))
}
