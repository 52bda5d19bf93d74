//! Which lines the log has. An operator can change it while the gateway runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{Level, enabled, warn};
use tracing_log::AsLog;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, reload};

/// Replaces the filter of the process.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The filter of the log. Clones are of the same log.
#[derive(Clone)]
pub struct LogFilter(Arc<Shared>);

struct Shared {
    /// As the operator wrote it.
    text: Mutex<String>,
    replace: Replace,
}

impl LogFilter {
    pub(super) fn new(text: &str, replace: Replace) -> Self {
        Self(Arc::new(Shared { text: Mutex::new(text.to_owned()), replace }))
    }

    /// Checks a filter.
    ///
    /// # Errors
    ///
    /// If it is invalid; the text names the part.
    pub fn check(text: &str) -> Result<(), String> {
        parts(text).map(drop)
    }

    /// Returns the filter in use, as it was written.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the filter, and logs that. Lines of code that the filter leaves out cost
    /// as little as before.
    ///
    /// # Errors
    ///
    /// If the filter is invalid; the text names the part. Nothing changes.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let filter = parse(text)?;
        let mut current = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = std::mem::replace(&mut *current, text.to_owned());
        let log = || warn!(previous, filter = text, "log filter changed");
        // The old or the new filter may leave the line out.
        let is_logged_before = enabled!(Level::WARN);
        if is_logged_before {
            log();
        }
        (self.0.replace)(filter).map_err(|error| error.to_string())?;
        // Libraries that use the crate `log` ask this level first.
        tracing_log::log::set_max_level(LevelFilter::current().as_log());
        if !is_logged_before {
            log();
        }
        Ok(())
    }
}

#[cfg(test)]
impl LogFilter {
    /// Returns the filter of a log that nobody reads.
    pub(crate) fn for_tests() -> Self {
        Self::new("info", Box::new(|_| Ok(())))
    }
}

/// Not derived: a function has no form.
impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.text()).finish()
    }
}

/// Parses a level or a list of directives.
pub(super) fn parse(text: &str) -> Result<EnvFilter, String> {
    parts(text).map_err(|problem| format!("the log filter is invalid: {problem}"))
}

fn parts(text: &str) -> Result<EnvFilter, String> {
    let is_stray = |part: &&str| {
        let is_level = || part.parse::<LevelFilter>().is_ok();
        // The library takes nothing at all for the level error.
        text.is_empty() || !(part.contains(['=', '[']) || is_level())
    };
    let stray = text.split(',').map(str::trim).find(is_stray);
    if let Some(stray) = stray {
        return Err(format!(
            "{stray:?} is not a level; use error, warn, info, debug or trace"
        ));
    }
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn invalid_filter_changes_nothing() {
        let replaced = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&replaced);
        let replace = move |_| {
            count.fetch_add(1, SeqCst);
            Ok(())
        };
        let filter = LogFilter::new("info", Box::new(replace));
        for (text, problem) in [
            ("verbose", "\"verbose\" is not a level"),
            ("", "\"\" is not a level"),
            ("a=b=c", "invalid"),
        ] {
            let error = filter.set(text).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
            assert_eq!((filter.text().as_str(), replaced.load(SeqCst)), ("info", 0));
        }
        filter.set("info,rpc=off").unwrap();
        assert_eq!((filter.text().as_str(), replaced.load(SeqCst)), ("info,rpc=off", 1));
    }
}
