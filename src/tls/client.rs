//! TLS to Polytomic.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::aws_lc_rs, sign::SingleCertAndKey};
use rustls_platform_verifier::Verifier;

use super::{
    Error, H2, KeyPair, PemFile, Problem, Reloaded, pem::Contents, reloaded::Built,
};

/// The files of a client of one server.
#[derive(Debug, Clone, Default)]
pub struct ClientFiles {
    /// The authorities to trust in addition to the system's.
    pub ca: Option<PemFile>,
    /// The certificate that the server sees if it asks for one, and its key.
    pub pair: Option<KeyPair>,
}

/// TLS to Polytomic, as its files have it now.
pub type ClientTls = Reloaded<ClientConfig>;

impl ClientFiles {
    /// Reads the files, and those of the system, which blocks the thread for a moment.
    ///
    /// # Errors
    ///
    /// Names the file, its flag and the problem.
    pub fn load(self) -> Result<Arc<ClientTls>, Error> {
        let files = self.pair.iter().flat_map(KeyPair::files).chain(&self.ca);
        let files = files.cloned().collect();
        Reloaded::load("upstream", files, move |contents| self.build(contents))
    }

    fn build(&self, contents: &Contents) -> Result<Built<ClientConfig>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut certificates = Vec::new();
        let verifier = match &self.ca {
            Some(file) => {
                let (authorities, described) = file.certificates(contents)?;
                certificates.extend(described);
                Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))
                    .map_err(|error| {
                        file.error(Problem::Authorities(error.to_string()))
                    })?
            }
            None => Verifier::new(Arc::clone(&provider)).map_err(Error::TrustStore)?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.pair {
            Some(pair) => {
                let (certified, described) = pair.load(contents)?;
                certificates.splice(0..0, described);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                    certified,
                )))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(Built { config, certificates })
    }
}
