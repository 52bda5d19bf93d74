//! Threads of their own, each with a runtime of its own. What attackers, other
//! callers and the upstream do at the same time would else wait for each other,
//! and be measured as the gateway's.

use std::thread;

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

/// Threads that run tasks; those end with it.
pub(crate) struct Apart {
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl Apart {
    pub(crate) fn start(threads: usize) -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).enable_all().build().unwrap();
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
