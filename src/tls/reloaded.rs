//! A configuration of TLS that is made of files, and made again when they change.

use std::{
    fmt, mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{info, warn};

use super::{
    Certificate, Error, PemFile, Stats,
    certificate::{Validity, rfc3339},
    pem::Contents,
};
use crate::files::{self, Reload, SharedReads};

/// Maximum attempts to read files that change while they are read.
const ATTEMPTS: usize = 3;

/// Maximum certificates in one line of the log.
const MOST_SHOWN: usize = 5;

/// How a configuration is made.
struct Source<C> {
    /// Whose certificates they are, in the log.
    name: &'static str,
    files: Vec<PemFile>,
    build: Box<Build<C>>,
}

/// Makes a configuration of the contents of the files.
type Build<C> = dyn Fn(&Contents) -> Result<Built<C>, Error> + Send + Sync;

/// A configuration, and the certificates of the files.
pub(super) struct Built<C> {
    pub(super) config: C,
    pub(super) certificates: Vec<Certificate>,
}

/// A configuration in use. A bad file changes nothing: the last good configuration stays.
pub struct Reloaded<C> {
    source: Arc<Source<C>>,
    current: ArcSwap<C>,
    reads: SharedReads,
    state: Mutex<State>,
}

struct State {
    /// The contents of the last read, unless a file could not be read.
    seen: Option<blake3::Hash>,
    /// The contents of the configuration in use.
    used: blake3::Hash,
    loaded_at: Instant,
    certificates: Vec<Certificate>,
    /// How the dates of each stood when they were last compared with the clock.
    validities: Vec<Validity>,
    rotations: u64,
    failures: u64,
    /// The last problem, so that a lasting one is logged once.
    problem: Option<String>,
}

/// What a read of the files yields.
enum Read<C> {
    Same,
    Built(blake3::Hash, Built<C>),
    Failed(Option<blake3::Hash>, Error),
}

impl<C: Send + Sync + 'static> Reloaded<C> {
    /// Reads the files for the first time, which blocks the thread for a moment.
    ///
    /// # Errors
    ///
    /// Names the file, its flag and the problem.
    pub(super) fn load(
        name: &'static str,
        files: Vec<PemFile>,
        make: impl Fn(&Contents) -> Result<Built<C>, Error> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Error> {
        let source = Source { name, files, build: Box::new(make) };
        let (used, built) = match source.read(None) {
            Read::Built(hash, built) => (hash, built),
            Read::Failed(_, error) => return Err(error),
            Read::Same => unreachable!("nothing has been read before"),
        };
        if !built.certificates.is_empty() {
            source.log_loaded(&built.certificates, true);
        }
        let reloaded = Self {
            source: Arc::new(source),
            current: ArcSwap::from_pointee(built.config),
            reads: SharedReads::default(),
            state: Mutex::new(State {
                seen: Some(used),
                used,
                loaded_at: Instant::now(),
                validities: vec![Validity::Valid; built.certificates.len()],
                certificates: built.certificates,
                rotations: 0,
                failures: 0,
                problem: None,
            }),
        };
        reloaded.warn_of_dates(SystemTime::now());
        Ok(Arc::new(reloaded))
    }

    /// Reads the files again when they change, until this is dropped.
    pub fn watch(self: &Arc<Self>) {
        if !self.source.files.is_empty() {
            files::poll(self);
        }
    }

    /// Reads the files again now, as on SIGHUP.
    pub async fn reload(&self) {
        Reload::reload(self).await;
    }

    /// Returns the state of the files, for people, if there are any.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        if self.source.files.is_empty() {
            return None;
        }
        let (name, state) = (self.source.name, self.state());
        let age = state.loaded_at.elapsed().as_secs();
        let usable = match &state.problem {
            None => "usable now".to_owned(),
            Some(problem) => format!("not usable now ({problem})"),
        };
        let (rotations, failures) = (state.rotations, state.failures);
        Some(format!(
            "{name} certificates {usable}, loaded {age} s ago, changed {rotations} times, \
             unusable {failures} times"
        ))
    }

    /// Returns the state of the files.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            certificates: state.certificates.clone(),
            loaded_at: state.loaded_at,
            rotations: state.rotations,
            failures: state.failures,
            problem: state.problem.clone(),
        }
    }

    /// Returns the configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<C> {
        self.current.load_full()
    }

    fn store(&self, hash: blake3::Hash, built: Built<C>) {
        let mut state = self.state();
        let changed = hash != state.used;
        let recovered = state.problem.take().is_some();
        state.seen = Some(hash);
        if changed {
            state.used = hash;
            state.loaded_at = Instant::now();
            state.rotations += 1;
            state.certificates.clone_from(&built.certificates);
            state.validities = vec![Validity::Valid; built.certificates.len()];
            self.current.store(Arc::new(built.config));
        }
        drop(state);
        if changed || recovered {
            self.source.log_loaded(&built.certificates, changed);
        }
    }

    fn record_failure(&self, hash: Option<blake3::Hash>, error: &Error) {
        let problem = error.to_string();
        let mut state = self.state();
        state.failures += 1;
        // Other contents with the same problem are another attempt of the operator's.
        let is_new = mem::replace(&mut state.seen, hash) != hash
            || state.problem.as_ref() != Some(&problem);
        state.problem = Some(problem.clone());
        drop(state);
        if is_new {
            let until_then = "the previous certificates stay in use";
            let name = self.source.name;
            warn!(problem, until_then, "{name} certificates are not usable");
        }
    }

    /// Logs which certificates are not valid, or soon will not be: each once. Returns how many.
    pub(super) fn warn_of_dates(&self, now: SystemTime) -> usize {
        let State { certificates, validities, .. } = &mut *self.state();
        let mut changed = 0;
        for (certificate, last) in certificates.iter().zip(validities) {
            let validity = certificate.validity(now);
            if mem::replace(last, validity) != validity && validity != Validity::Valid {
                certificate.warn(validity);
                changed += 1;
            }
        }
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Send + Sync + 'static> Reload for Reloaded<C> {
    async fn reload(&self) {
        let work = async {
            let (source, seen) = (Arc::clone(&self.source), self.state().seen);
            let read = spawn_blocking(move || source.read(seen)).await;
            match read.unwrap_or(Read::Failed(None, Error::Lost)) {
                Read::Same => {}
                Read::Built(hash, built) => self.store(hash, built),
                Read::Failed(hash, error) => self.record_failure(hash, &error),
            }
            self.warn_of_dates(SystemTime::now());
        };
        self.reads.run(work).await;
    }
}

impl<C> Source<C> {
    /// Reads the files, and makes a configuration unless their contents are as `seen`.
    fn read(&self, seen: Option<blake3::Hash>) -> Read<C> {
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let contents = match Contents::read(&self.files) {
                Ok(contents) => contents,
                Err(error) => return Read::Failed(None, error),
            };
            let hash = contents.hash();
            if seen == Some(hash) {
                return Read::Same;
            }
            match ((self.build)(&contents), failed.take()) {
                (Ok(built), _) => return Read::Built(hash, built),
                (Err(error), Some(before)) if before == hash => {
                    return Read::Failed(Some(hash), error);
                }
                // A certificate and a key may be of two moments: then both are read again.
                (Err(_), _) => failed = Some(hash),
            }
        }
        // Whatever is read next is new.
        Read::Failed(None, Error::Changing)
    }

    fn log_loaded(&self, certificates: &[Certificate], changed: bool) {
        let mut files: Vec<&PathBuf> = certificates.iter().map(|one| &one.path).collect();
        files.dedup();
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let describe =
            |one: &Certificate| format!("{} until {}", one.name, rfc3339(one.not_after));
        // A file of authorities may have hundreds.
        let shown: Vec<_> = certificates.iter().take(MOST_SHOWN).map(describe).collect();
        info!(
            files = files.join(", "),
            certificates = shown.join("; "),
            count = certificates.len(),
            changed,
            "{} certificates loaded",
            self.name
        );
    }
}

impl<C> fmt::Debug for Reloaded<C> {
    /// Shows no key: the configuration is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded")
            .field("files", &self.source.files)
            .finish_non_exhaustive()
    }
}
