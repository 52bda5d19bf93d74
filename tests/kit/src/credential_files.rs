//! The credential files of a gateway in static mode.

use std::fs;

use tempfile::TempDir;

/// A file with the partner key, and one with the caller token.
pub struct CredentialFiles {
    directory: TempDir,
    key: String,
    token: String,
}

impl CredentialFiles {
    pub fn new(key: &str, token: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
        let files =
            Self { key: path("partner-key"), token: path("caller-token"), directory };
        files.put_key(key);
        fs::write(&files.token, token).unwrap();
        files
    }

    /// Replaces the key file atomically, as Kubernetes does.
    pub fn put_key(&self, key: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, key).unwrap();
        fs::rename(new, &self.key).unwrap();
    }

    /// Returns the flags of a gateway with these files.
    pub fn flags(&self) -> [&str; 6] {
        let Self { key, token, .. } = self;
        ["--auth-mode", "static", "--partner-key-file", key, "--caller-token-file", token]
    }
}
