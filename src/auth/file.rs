//! A credential in a file, as Kubernetes and Vault provide it. The file may be replaced
//! at any time, also during a read; a read that fails changes nothing.
//!
//! Each poll reads the whole file instead of its time stamps: the file is tiny, and a
//! time stamp misses a symlink swap or a second write within one clock tick.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use tokio::time::{Instant, MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::bearer::{self, MAX_BYTES};
use super::hash::{CredentialHash, Hasher};
use super::stats::FileStats;

/// Time between two reads. Kubernetes itself takes up to a minute to replace a file.
pub(super) const POLL: Duration = Duration::from_secs(5);

/// A credential of the gateway itself: its partner key or the caller token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) hash: CredentialHash,
    pub(super) secret: SecretString,
}

/// A file with one credential.
#[derive(Debug)]
pub(super) struct CredentialFile {
    name: &'static str,
    path: PathBuf,
    hasher: Arc<Hasher>,
    current: ArcSwapOption<Token>,
    /// Number of reads started.
    started: AtomicU64,
    /// Number of the last read that ended. The lock allows one read at a time.
    ended: tokio::sync::Mutex<u64>,
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
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is longer than 8 KiB")]
    TooLong,
    #[error("it is empty")]
    Empty,
    #[error("it has more than one line")]
    Lines,
    #[error("{0}")]
    Token(&'static str),
}

impl CredentialFile {
    /// Reads the file for the first time, and then every [`POLL`] until the returned
    /// value is dropped. `name` is the credential's name in logs.
    pub(super) async fn open(
        name: &'static str,
        path: PathBuf,
        hasher: Arc<Hasher>,
    ) -> Arc<Self> {
        let file = Arc::new(Self {
            name,
            path,
            hasher,
            current: ArcSwapOption::empty(),
            started: AtomicU64::new(0),
            ended: tokio::sync::Mutex::new(0),
            health: Mutex::default(),
        });
        file.reload().await;
        let weak = Arc::downgrade(&file);
        tokio::spawn(async move {
            let mut ticks = interval(POLL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let Some(file) = weak.upgrade() else { return };
                file.reload().await;
            }
        });
        file
    }

    /// Returns the last good credential, or `None` if there never was one.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        self.current.load_full()
    }

    /// Reads the file again. Concurrent calls share one read, which starts after the last
    /// of these calls.
    pub(super) async fn reload(&self) {
        let started_before = self.started.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        if *ended > started_before {
            return;
        }
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let path = self.path.clone();
        let secret = tokio::task::spawn_blocking(move || read(&path)).await;
        match secret.unwrap_or_else(|lost| Err(std::io::Error::other(lost).into())) {
            Ok(secret) => self.store(&secret),
            Err(problem) => self.record_failure(&problem),
        }
        *ended = number;
    }

    pub(super) fn stats(&self) -> FileStats {
        let health = self.health();
        FileStats {
            age: health.usable_at.map(|usable_at| usable_at.elapsed()),
            rotations: health.rotations,
            failures: health.failures,
        }
    }

    fn store(&self, secret: &str) {
        let hash = self.hasher.hash(secret);
        let previous = self.current();
        let mut health = self.health();
        health.usable_at = Some(Instant::now());
        let recovered = health.problem.take().is_some();
        let changed =
            previous.as_ref().is_none_or(|previous| !previous.hash.matches(&hash));
        if changed {
            health.rotations += u64::from(previous.is_some());
            self.current.store(Some(Arc::new(Token { hash, secret: secret.into() })));
        }
        drop(health);
        if changed || recovered {
            tracing::info!(
                file = %self.path.display(),
                fingerprint = hash.fingerprint(),
                changed,
                "{} loaded", self.name,
            );
        }
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
            "{} file is not usable", self.name,
        );
        health.problem = Some(problem);
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    // Checked before the file is opened: to open a named pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Problem::NotAFile);
    }
    // Large enough that it never grows: growing would leave a copy of the secret.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let file = std::fs::File::open(path)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    if content.len() > MAX_BYTES {
        return Err(Problem::TooLong);
    }
    let secret = content.trim_ascii();
    if secret.is_empty() {
        return Err(Problem::Empty);
    }
    if secret.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Err(Problem::Lines);
    }
    let secret = bearer::token(secret).map_err(Problem::Token)?;
    Ok(Zeroizing::new(secret.to_owned()))
}

#[cfg(test)]
mod tests;
