//! Certificates and keys in PEM files.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    Error as TlsError, InconsistentKeys,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SigningKey},
};
use zeroize::{Zeroize, Zeroizing};

use super::{Certificate, Error, Problem, identity::parse};
use crate::files;

/// Maximum bytes of a file: several times the authorities of a system.
const MOST: usize = 1 << 20;

/// A PEM file, and the flag that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFile {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// The path of the file.
    pub path: PathBuf,
}

/// The files of a certificate with its issuers, and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate of the key, then its issuers.
    pub certificate: PemFile,
    /// The key, unencrypted.
    pub key: PemFile,
}

/// The contents of files, all read together.
pub(super) struct Contents(Vec<(PathBuf, Zeroizing<Vec<u8>>)>);

impl Contents {
    pub(super) fn read<'a>(
        files: impl IntoIterator<Item = &'a PemFile>,
    ) -> Result<Self, Error> {
        let read = |file: &PemFile| {
            let content = files::read(&file.path, MOST);
            let content = content.map_err(|problem| file.error(problem))?;
            if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
                return Err(file.error(Problem::Utf16));
            }
            Ok((file.path.clone(), content))
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns what stands for the contents when they are compared.
    pub(super) fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (_, content) in &self.0 {
            hasher.update(&(content.len() as u64).to_le_bytes());
            hasher.update(content);
        }
        hasher.finalize()
    }

    fn of(&self, file: &PemFile) -> &[u8] {
        let content = self.0.iter().find(|(path, _)| *path == file.path);
        let content: &[u8] = content.map_or(&[], |(_, content)| content);
        // An editor may have put the byte order mark of UTF-8 before it.
        content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
    }
}

impl PemFile {
    pub(super) fn error(&self, problem: impl Into<Problem>) -> Error {
        Error::File { flag: self.flag, path: self.path.clone(), problem: problem.into() }
    }

    /// Returns the certificates of the file, at least one, and describes them.
    pub(super) fn certificates(
        &self,
        contents: &Contents,
    ) -> Result<(Vec<CertificateDer<'static>>, Vec<Certificate>), Error> {
        let sections = CertificateDer::pem_slice_iter(contents.of(self));
        let certificates: Vec<_> =
            sections.collect::<Result<_, _>>().map_err(|error| self.error(&error))?;
        if certificates.is_empty() {
            return Err(self.error(Problem::NoCertificate));
        }
        let describe = |(place, der): (usize, &CertificateDer<'_>)| {
            Certificate::of(self, place + 1, der)
        };
        let described = certificates.iter().enumerate().map(describe);
        let described: Result<_, _> = described.collect();
        let described = described.map_err(|problem| self.error(problem))?;
        Ok((certificates, described))
    }

    /// Returns the key of the file.
    fn key(&self, contents: &Contents) -> Result<Arc<dyn SigningKey>, Error> {
        let content = contents.of(self);
        if is_encrypted(content) {
            return Err(self.error(Problem::Encrypted));
        }
        let keys = PrivateKeyDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
        let mut keys = keys.map_err(|error| self.error(&error))?;
        let loaded = match &keys[..] {
            [] => Err(Problem::NoKey),
            [key] => any_supported_type(key).map_err(|_| Problem::Key),
            more => Err(Problem::Keys(more.len())),
        };
        keys.iter_mut().for_each(Zeroize::zeroize);
        loaded.map_err(|problem| self.error(problem))
    }
}

impl KeyPair {
    pub(super) fn files(&self) -> [&PemFile; 2] {
        [&self.certificate, &self.key]
    }

    /// Returns the certificate with its key, and describes it with its issuers.
    pub(super) fn load(
        &self,
        contents: &Contents,
    ) -> Result<(CertifiedKey, Vec<Certificate>), Error> {
        let (chain, described) = self.certificate.certificates(contents)?;
        let key = self.key.key(contents)?;
        let is_of_key = |certificate: &CertificateDer<'static>| {
            let alone = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key));
            match alone.keys_match() {
                Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {
                    true
                }
                Err(_) => false,
            }
        };
        match chain.iter().position(is_of_key) {
            Some(0) => {}
            Some(place) => {
                return Err(self.certificate.error(Problem::NotFirst(place + 1)));
            }
            None => {
                let flag = self.certificate.flag;
                return Err(self.key.error(Problem::Mismatch { flag }));
            }
        }
        if let Some(place) = out_of_order(&chain) {
            return Err(self.certificate.error(Problem::Order(place + 1)));
        }
        Ok((CertifiedKey::new(chain, key), described))
    }
}

/// Returns the place of the first certificate that has issued none of those before it.
/// Several with one name may follow each other: an authority can be signed by another, too.
fn out_of_order(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let parsed: Vec<_> = chain.iter().filter_map(|der| parse(der)).collect();
    (1..parsed.len()).find(|place| {
        let subject = parsed[*place].subject().as_raw();
        !parsed[..*place].iter().any(|earlier| earlier.issuer().as_raw() == subject)
    })
}

/// Reports whether a file has an encrypted key, of PKCS #8 or of an older form.
fn is_encrypted(content: &[u8]) -> bool {
    let has = |marker: &[u8]| content.windows(marker.len()).any(|text| text == marker);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

impl From<&pem::Error> for Problem {
    /// The errors of the library quote the file, which may be a key.
    fn from(error: &pem::Error) -> Self {
        Self::Pem(match error {
            pem::Error::MissingSectionEnd { .. } => "a section has no end line",
            pem::Error::IllegalSectionStart { .. } => {
                "a line of BEGIN does not end with five dashes"
            }
            _ => "a section is not base64",
        })
    }
}
