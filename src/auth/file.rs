//! A credential in a file, as Kubernetes and Vault hand them out. The file may be
//! swapped at any time, in the middle of a load; a reading that fails changes nothing.
//!
//! It is read whole each time rather than watched by its time stamps: it is tiny, and
//! its content cannot miss a symlink swap or a second write within one clock tick.

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
use super::key::{Hasher, Key};
use super::stats::FileStats;

/// How often the file is read. Kubernetes itself takes up to a minute to swap it.
pub(super) const POLL: Duration = Duration::from_secs(5);

/// A credential the gateway itself holds.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) key: Key,
    pub(super) secret: SecretString,
}

/// A file that holds one credential.
#[derive(Debug)]
pub(super) struct CredentialFile {
    what: &'static str,
    path: PathBuf,
    hasher: Arc<Hasher>,
    current: ArcSwapOption<Token>,
    /// The number of readings started.
    started: AtomicU64,
    /// The number of the last reading that ended. Its lock allows one at a time.
    ended: tokio::sync::Mutex<u64>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    usable_at: Option<Instant>,
    rotations: u64,
    failures: u64,
    /// The failure last logged, so that a lasting one is logged once.
    failing: Option<String>,
}

/// Why a file gives no credential.
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
    #[error("it holds more than one line")]
    Lines,
    #[error("{0}")]
    Token(&'static str),
}

impl CredentialFile {
    /// Reads the file for the first time and goes on reading it every [`POLL`] until
    /// it is dropped. `what` names the credential in logs.
    pub(super) async fn open(
        what: &'static str,
        path: PathBuf,
        hasher: Arc<Hasher>,
    ) -> Arc<Self> {
        let file = Arc::new(Self {
            what,
            path,
            hasher,
            current: ArcSwapOption::empty(),
            started: AtomicU64::new(0),
            ended: tokio::sync::Mutex::new(0),
            health: Mutex::default(),
        });
        file.reload().await;
        let held = Arc::downgrade(&file);
        tokio::spawn(async move {
            let mut ticks = interval(POLL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let Some(file) = held.upgrade() else { return };
                file.reload().await;
            }
        });
        file
    }

    /// Returns the last good credential, or `None` if there never was one.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        self.current.load_full()
    }

    /// Reads the file again. Callers who ask at the same time share one reading, which
    /// begins after the last of them asked.
    pub(super) async fn reload(&self) {
        let asked = self.started.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        if *ended > asked {
            return;
        }
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || read(&path)).await;
        match reading.unwrap_or_else(|lost| Err(std::io::Error::other(lost).into())) {
            Ok(secret) => self.accept(&secret),
            Err(problem) => self.complain(&problem),
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

    fn accept(&self, secret: &str) {
        let key = self.hasher.key(secret);
        let former = self.current();
        let mut health = self.health();
        health.usable_at = Some(Instant::now());
        let recovered = health.failing.take().is_some();
        let changed = former.as_ref().is_none_or(|former| !former.key.is(&key));
        if changed {
            health.rotations += u64::from(former.is_some());
            self.current.store(Some(Arc::new(Token { key, secret: secret.into() })));
        }
        drop(health);
        if changed || recovered {
            tracing::info!(
                file = %self.path.display(),
                fingerprint = key.fingerprint(),
                changed,
                "{} loaded", self.what,
            );
        }
    }

    fn complain(&self, problem: &Problem) {
        let problem = problem.to_string();
        let mut health = self.health();
        health.failures += 1;
        if health.failing.as_ref() == Some(&problem) {
            return;
        }
        tracing::warn!(
            file = %self.path.display(),
            problem,
            until_then = if self.current.load().is_some() {
                "the former one is used"
            } else {
                "calls fail with UNAVAILABLE"
            },
            "{} file is not usable", self.what,
        );
        health.failing = Some(problem);
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    // Before opening it: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Problem::NotAFile);
    }
    // Large enough never to grow, which would leave a copy behind.
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
