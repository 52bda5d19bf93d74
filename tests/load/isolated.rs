//! Runtimes with separate threads. Attackers, other clients and the upstream would
//! otherwise wait for each other, and their waiting would count as the gateway's.

use std::thread;

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

/// A runtime on separate threads. Its tasks end when it is dropped.
pub(crate) struct IsolatedRuntime {
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl IsolatedRuntime {
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
