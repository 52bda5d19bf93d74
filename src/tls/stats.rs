//! What is known of the certificates of one side.

use tokio::time::Instant;

use super::Certificate;

/// The state of a configuration, for metrics and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The certificates in use: the gateway's own with its issuers, and authorities. Those
    /// of one file follow each other.
    pub certificates: Vec<Certificate>,
    /// When the configuration was made.
    pub loaded_at: Instant,
    /// Number of times that it was replaced.
    pub rotations: u64,
    /// Number of contents that could not be used, and of failed reads.
    pub failures: u64,
    /// Why the files cannot be used now, if they cannot.
    pub problem: Option<String>,
}

impl Stats {
    /// Returns the certificate of each file that expires first. An operator must replace
    /// the file until then.
    #[must_use]
    pub fn first_to_expire(&self) -> Vec<&Certificate> {
        self.certificates
            .chunk_by(|one, next| one.flag == next.flag)
            .filter_map(|file| file.iter().min_by_key(|one| one.not_after))
            .collect()
    }
}
