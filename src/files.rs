//! Files that are replaced while the gateway runs: credentials, certificates and keys, as
//! Kubernetes and Vault provide them. A file may be replaced at any time, also during a
//! read; a read that fails changes nothing.
//!
//! Each poll reads whole files instead of their time stamps: the files are tiny, and a
//! time stamp misses a symlink swap or a second write within one clock tick.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use zeroize::Zeroizing;

/// Time between two reads. Kubernetes itself takes up to a minute to replace a file.
pub(crate) const POLL: Duration = Duration::from_secs(5);

/// Minimum bytes of memory for a file, more than credentials have.
const LEAST: usize = 8 * 1024;

/// Why a file has no content.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system does not let the gateway read it.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is a directory, a named pipe or a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// It has more than this number of KiB.
    #[error("it is longer than {0} KiB")]
    TooLong(usize),
}

/// Reads a file of up to `most` bytes into memory that is wiped.
///
/// # Errors
///
/// See [`ReadError`]. No text has a part of the content.
pub(crate) fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Checked before the file is opened: to open a named pipe would wait for a writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    // Large enough that it does not grow, also if the file grows meanwhile: growing leaves a
    // copy of a secret in memory, and so does a read into little space, by way of the stack.
    let size = usize::try_from(metadata.len()).unwrap_or(most).max(LEAST);
    let mut content = Zeroizing::new(Vec::with_capacity(size.min(most) + 1));
    let file = File::open(path)?;
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        return Err(ReadError::TooLong(most / 1024));
    }
    Ok(content)
}

/// Something made of files, which can be made again.
pub(crate) trait Reload: Send + Sync + 'static {
    /// Reads the files again. If they cannot be used, the former content stays in use.
    fn reload(&self) -> impl Future<Output = ()> + Send;
}

/// Reads the files of `owner` again every [`POLL`], until `owner` is dropped.
pub(crate) fn poll<T: Reload>(owner: &Arc<T>) {
    let owner = Arc::downgrade(owner);
    tokio::spawn(async move {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let Some(owner) = owner.upgrade() else { return };
            owner.reload().await;
        }
    });
}

/// Reads that callers share.
#[derive(Debug, Default)]
pub(crate) struct SharedReads {
    /// Number of reads started.
    started: AtomicU64,
    /// Number of the last read that ended. The lock allows one read at a time.
    ended: Mutex<u64>,
}

impl SharedReads {
    /// Runs `read`. Concurrent calls share one run, which starts after the last of these
    /// calls.
    pub(crate) async fn run(&self, read: impl Future<Output = ()>) {
        let started_before = self.started.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        if *ended > started_before {
            return;
        }
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        read.await;
        *ended = number;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn concurrent_calls_share_a_read_that_starts_after_the_last() {
        let reads = Arc::<SharedReads>::default();
        // As if a read were in progress, until every caller waits for it.
        let in_progress = reads.ended.lock().await;
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let reads = Arc::clone(&reads);
            callers.spawn(async move { reads.run(async {}).await });
        }
        for _ in 0..100 {
            yield_now().await;
        }
        drop(in_progress);
        callers.join_all().await;
        assert_eq!(reads.started.load(Ordering::SeqCst), 1);
        reads.run(async {}).await;
        assert_eq!(reads.started.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn file_of_the_largest_size_is_read_and_no_larger_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, [b'a'; 2048]).unwrap();
        let content = read(&path, 2048).unwrap();
        assert_eq!((content.len(), content.capacity()), (2048, 2049));
        assert_eq!(read(&path, 1 << 20).unwrap().capacity(), LEAST + 1);
        let error = read(&path, 1024).unwrap_err().to_string();
        assert_eq!(error, "it is longer than 1 KiB");
        let error = read(directory.path(), 1024).unwrap_err().to_string();
        assert_eq!(error, "it is not a regular file");
    }
}
