//! A credential in a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use tokio::time::Instant;

use super::PartnerKey;
use super::bearer::{self, MAX_BYTES};
use super::hash::{CredentialHash, Hasher};
use super::stats::{FileState, FileStats};
use crate::files::{self, ReadError, Reload, SharedReads};

/// A credential of the gateway itself: its partner key or the caller token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) hash: CredentialHash,
    pub(super) secret: SecretString,
}

/// What a file may hold.
#[derive(Debug)]
pub(super) struct Rules {
    /// The name of the credential in logs.
    name: &'static str,
    /// Maximum number of credentials, one a line.
    most: usize,
    /// Minimum characters of a credential.
    shortest: usize,
    /// A key that it must not be.
    other_than: Option<PartnerKey>,
}

impl Rules {
    /// A file with a key, whose form is Polytomic's to choose.
    pub(super) fn of_key(name: &'static str) -> Self {
        Self { name, most: 1, shortest: 1, other_than: None }
    }

    /// A file with a token for clients: two during a rotation, each too long to be
    /// guessed. The key would give a client more than the gateway does.
    pub(super) fn of_caller_token(name: &'static str, key: PartnerKey) -> Self {
        Self { name, most: 2, shortest: 16, other_than: Some(key) }
    }
}

/// A file with a credential, or several.
#[derive(Debug)]
pub(super) struct CredentialFile {
    rules: Rules,
    path: PathBuf,
    hasher: Arc<Hasher>,
    /// Never empty.
    current: ArcSwapOption<Vec<Arc<Token>>>,
    reads: SharedReads,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    usable_at: Option<Instant>,
    rotations: u64,
    failures: u64,
    /// The last problem logged, so that a lasting one is logged once.
    problem: Option<String>,
}

/// Why a file has no usable credential.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("it is empty")]
    Empty,
    #[error("it has more lines than {0}")]
    Lines(usize),
    #[error("it is UTF-16; save it as UTF-8")]
    Utf16,
    #[error("a {0} has fewer than {1} characters")]
    TooShort(&'static str, usize),
    #[error("it has the partner key, which no client may have")]
    PartnerKey,
    #[error("{0}")]
    Token(&'static str),
}

impl CredentialFile {
    /// Reads the file for the first time, and then again and again until the returned
    /// value is dropped.
    pub(super) async fn open(
        rules: Rules,
        path: PathBuf,
        hasher: Arc<Hasher>,
    ) -> Arc<Self> {
        let file = Arc::new(Self {
            rules,
            path,
            hasher,
            current: ArcSwapOption::empty(),
            reads: SharedReads::default(),
            health: Mutex::default(),
        });
        file.reload().await;
        files::poll(&file);
        file
    }

    /// Returns the last good credential, the first of several, or `None` if there
    /// never was one.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        self.current.load().as_ref().and_then(|tokens| tokens.first().cloned())
    }

    /// Reports whether a hash is that of a current credential, or `None` if there
    /// never was one.
    pub(super) fn accepts(&self, presented: &CredentialHash) -> Option<bool> {
        let tokens = self.current.load();
        // Compares with each, so that the time does not tell which one it is.
        let matches = |found, token: &Arc<Token>| found | presented.matches(&token.hash);
        tokens.as_ref().map(|tokens| tokens.iter().fold(false, matches))
    }

    pub(super) fn stats(&self) -> FileStats {
        let health = self.health();
        FileStats {
            age: health.usable_at.map(|usable_at| usable_at.elapsed()),
            rotations: health.rotations,
            failures: health.failures,
        }
    }

    pub(super) fn state(&self) -> FileState {
        FileState {
            name: self.rules.name,
            path: self.path.clone(),
            problem: self.health().problem.clone(),
        }
    }

    fn store(&self, content: &[u8]) -> Result<(), Problem> {
        let tokens = self.tokens(content)?;
        let previous = self.current.load_full();
        let mut health = self.health();
        health.usable_at = Some(Instant::now());
        let recovered = health.problem.take().is_some();
        let same =
            |(one, other): (&Arc<Token>, &Arc<Token>)| one.hash.matches(&other.hash);
        let changed = previous.as_ref().is_none_or(|previous| {
            previous.len() != tokens.len() || !previous.iter().zip(&tokens).all(same)
        });
        let fingerprints: Vec<_> =
            tokens.iter().map(|token| token.hash.id().to_string()).collect();
        if changed {
            health.rotations += u64::from(previous.is_some());
            self.current.store(Some(Arc::new(tokens)));
        }
        drop(health);
        if changed || recovered {
            tracing::info!(
                file = %self.path.display(),
                fingerprint = fingerprints.join(", "),
                changed,
                "{} loaded", self.rules.name,
            );
        }
        Ok(())
    }

    /// Returns the credentials of a file.
    fn tokens(&self, content: &[u8]) -> Result<Vec<Arc<Token>>, Problem> {
        let Rules { name, most, shortest, ref other_than } = self.rules;
        let lines = lines(content, most)?;
        let key = other_than.as_ref().and_then(PartnerKey::current);
        let token = |line| {
            let secret = bearer::token(line).map_err(Problem::Token)?;
            if secret.len() < shortest {
                return Err(Problem::TooShort(name, shortest));
            }
            let hash = self.hasher.hash(secret);
            if key.as_ref().is_some_and(|key| key.hash.matches(&hash)) {
                return Err(Problem::PartnerKey);
            }
            Ok(Arc::new(Token { hash, secret: secret.into() }))
        };
        lines.into_iter().map(token).collect()
    }

    fn record_failure(&self, problem: &Problem) {
        let problem = problem.to_string();
        let mut health = self.health();
        health.failures += 1;
        if health.problem.as_ref() == Some(&problem) {
            return;
        }
        tracing::warn!(
            file = %self.path.display(),
            problem,
            until_then = if self.current.load().is_some() {
                "the previous credential stays in use"
            } else {
                "RPCs fail with UNAVAILABLE"
            },
            "{} file is not usable", self.rules.name,
        );
        health.problem = Some(problem);
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reload for CredentialFile {
    async fn reload(&self) {
        let read = async {
            let path = self.path.clone();
            let content =
                tokio::task::spawn_blocking(move || files::read(&path, MAX_BYTES)).await;
            let stored = content
                .unwrap_or_else(|lost| Err(std::io::Error::other(lost).into()))
                .map_err(Problem::Read)
                .and_then(|content| self.store(&content));
            if let Err(problem) = stored {
                self.record_failure(&problem);
            }
        };
        self.reads.run(read).await;
    }
}

/// Returns the lines of a file, up to `most`, without the white space around them. An
/// editor may have put the byte order mark of UTF-8 before them.
fn lines(content: &[u8], most: usize) -> Result<Vec<&[u8]>, Problem> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return Err(Problem::Utf16);
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let lines: Vec<&[u8]> = content
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.len() {
        0 => Err(Problem::Empty),
        count if count > most => Err(Problem::Lines(most)),
        _ => Ok(lines),
    }
}

#[cfg(test)]
mod tests;
