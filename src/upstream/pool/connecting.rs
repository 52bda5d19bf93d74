//! Connections that are being opened.

use tokio::task::AbortHandle;

/// The tasks that open connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Connecting {
    tasks: Vec<(u64, AbortHandle)>,
    last_id: u64,
}

impl Connecting {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns an ID for another connection.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn started(&mut self, id: u64, task: AbortHandle) {
        self.tasks.push((id, task));
    }

    pub(super) fn ended(&mut self, id: u64) {
        self.tasks.retain(|(task, _)| *task != id);
    }

    /// Aborts the oldest tasks, but for `most`.
    pub(super) fn abort_beyond(&mut self, most: usize) {
        let surplus = self.tasks.len().saturating_sub(most);
        for (_, task) in self.tasks.drain(..surplus) {
            task.abort();
        }
    }
}
