//! Threads of their own, each with a runtime of its own. What attackers, other
//! callers and the upstream do at the same time would else wait for each other,
//! and be measured as the gateway's.

use std::thread;

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

/// A thread that runs tasks; they end with it.
pub(crate) struct Apart {
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl Apart {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (alive, over) = oneshot::channel();
        thread::spawn(move || runtime.block_on(over));
        Self { runtime: handle, _alive: alive }
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(task)
    }
}
