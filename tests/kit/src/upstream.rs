//! An upstream whose data survive its end.

use std::net::SocketAddr;

use polytomic_gateway::sandbox::Handle;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::spawn_blocking,
};

use crate::relay::bind_again;

/// A sandbox that can be killed: its requests in progress stop wherever they wait,
/// and its connections close, as when a process ends. Its shares survive, as in a
/// database.
pub struct Upstream {
    pub handle: Handle,
    runtime: Option<Runtime>,
}

impl Upstream {
    pub async fn start(handle: &Handle, address: SocketAddr) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (bound, is_bound) = oneshot::channel();
        let state = handle.clone();
        runtime.spawn(async move {
            let sandbox = bind_again(|| state.bind(address)).await;
            bound.send(()).unwrap();
            sandbox.run(std::future::pending()).await;
        });
        is_bound.await.expect("the address is free");
        Self { handle: handle.clone(), runtime: Some(runtime) }
    }

    /// Returns when all its tasks have ended.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take();
        spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // A drop must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
