//! Certificates, valid and not.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    IsCa, KeyPair, SanType, date_time_ymd,
};
use tempfile::{NamedTempFile, TempDir};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
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
        let (params, key) = authority("a test authority");
        Self::of(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Returns an authority that this one has certified.
    pub fn intermediate(&self) -> Self {
        let (params, key) = authority("a test authority below another");
        Self::of(CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap())
    }

    fn of(issuer: CertifiedIssuer<'static, KeyPair>) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// Returns the path of the authority's certificate.
    pub fn file(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Returns the authority's certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for names or addresses, and with a key of its own.
    pub fn issue(&self, names: &[&str], [from, to]: [i32; 2]) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "orders");
        params.subject_alt_names = names.iter().map(|name| subject(name)).collect();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Returns what a client needs to trust this authority, and to show a certificate.
    pub fn client(&self, shown: Option<&Issued>) -> ClientConfig {
        self.client_of(shown, rustls::ALL_VERSIONS)
    }

    /// Returns the same for versions of TLS.
    pub fn client_of(
        &self,
        shown: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(self.roots());
        let mut config = match shown {
            Some(shown) => {
                let (chain, key) = shown.der();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// Returns an acceptor that shows a certificate to clients, and requires one of this
    /// authority from them.
    pub fn mutual(&self, shown: &Issued, protocol: Protocol) -> TlsAcceptor {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()));
        let (chain, key) = shown.der();
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        if protocol == Protocol::Http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        TlsAcceptor::from(Arc::new(config))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
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

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Issued {
    /// Returns the same with the certificate of its issuer.
    pub fn with_issuer(mut self, issuer: &Authority) -> Self {
        self.certificate.push_str(&issuer.pem());
        self
    }

    /// Returns the bytes of the first certificate.
    pub fn leaf(&self) -> CertificateDer<'static> {
        self.der().0.remove(0)
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (chain.map(Result::unwrap).collect(), key)
    }
}

/// The files of a gateway with TLS, which are replaced as Kubernetes does it: all together,
/// by one link to their directory.
pub struct TlsFiles {
    directory: TempDir,
    paths: [String; 3],
    version: AtomicUsize,
}

impl TlsFiles {
    const NAMES: [&'static str; 3] = ["tls.crt", "tls.key", "ca.crt"];

    pub fn new(shown: &Issued, client_ca: &Authority) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = Self::NAMES.map(|name| {
            let path = directory.path().join(name);
            symlink(Path::new("..data").join(name), &path).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let files = Self { directory, paths, version: AtomicUsize::new(0) };
        files.put(shown, client_ca);
        files
    }

    pub fn put(&self, shown: &Issued, client_ca: &Authority) {
        self.put_contents([&shown.certificate, &shown.key, &client_ca.pem()]);
    }

    /// Replaces the certificate, the key and the client authorities.
    pub fn put_contents(&self, contents: [&str; 3]) {
        let version = format!("..{}", self.version.fetch_add(1, SeqCst));
        let directory = self.directory.path();
        fs::create_dir(directory.join(&version)).unwrap();
        for (name, content) in Self::NAMES.into_iter().zip(contents) {
            fs::write(directory.join(&version).join(name), content).unwrap();
        }
        let link = directory.join("..new");
        symlink(version, &link).unwrap();
        fs::rename(link, directory.join("..data")).unwrap();
    }

    /// Returns the flags of a gateway that shows the certificate.
    pub fn flags(&self) -> [&str; 4] {
        let [certificate, key, _] = &self.paths;
        ["--tls-certificate-file", certificate, "--tls-key-file", key]
    }

    /// Returns the flags of a gateway that also requires certificates of clients.
    pub fn mutual(&self) -> [&str; 6] {
        let [certificate, key, ca] = &self.paths;
        let shown = ["--tls-certificate-file", certificate, "--tls-key-file", key];
        [shown[0], shown[1], shown[2], shown[3], "--tls-client-ca-file", ca]
    }

    /// Returns the flags of a gateway that shows the certificate to its upstream.
    pub fn upstream(&self) -> [&str; 6] {
        let [certificate, key, ca] = &self.paths;
        let shown =
            ["--upstream-certificate-file", certificate, "--upstream-key-file", key];
        [shown[0], shown[1], shown[2], shown[3], "--upstream-ca-file", ca]
    }
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    (params, KeyPair::generate().unwrap())
}

fn subject(name: &str) -> SanType {
    if name.contains(':') {
        SanType::URI(name.try_into().unwrap())
    } else if name.contains('@') {
        SanType::Rfc822Name(name.try_into().unwrap())
    } else if let Ok(address) = name.parse() {
        SanType::IpAddress(address)
    } else {
        SanType::DnsName(name.try_into().unwrap())
    }
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
