//! An upstream that is killed and restarted, with its shares.

use std::time::Duration;

use kit::{draws::Draws, upstream::Upstream};
use polytomic_gateway::sandbox::Handle;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::gateways::Ports;

/// The maximum time until the upstream is killed, and until it is restarted.
const LONGEST_LIFE: Duration = Duration::from_secs(2);
const LONGEST_GAP: Duration = Duration::from_millis(200);

pub(crate) struct Restarts {
    over: watch::Sender<bool>,
    running: JoinHandle<(Upstream, usize)>,
}

impl Restarts {
    pub(crate) async fn start(handle: &Handle, ports: Ports, seed: u64) -> Self {
        let upstream = Upstream::start(handle, ports.upstream).await;
        let over = watch::Sender::new(false);
        let draws = Draws::new(seed, 1);
        let running = tokio::spawn(restart(upstream, ports, draws, over.subscribe()));
        Self { over, running }
    }

    /// Ends the upstream, with all that has not reached it. Returns how often it was
    /// restarted before.
    pub(crate) async fn end(self) -> usize {
        self.over.send_replace(true);
        let (upstream, restarts) = self.running.await.unwrap();
        upstream.handle.set_faults(None);
        upstream.handle.idle().await;
        // Bytes in its sockets are lost with it, so no request arrives late.
        upstream.kill().await;
        restarts
    }
}

async fn restart(
    mut upstream: Upstream,
    ports: Ports,
    mut draws: Draws,
    mut over: watch::Receiver<bool>,
) -> (Upstream, usize) {
    for restarts in 0.. {
        tokio::select! {
            () = sleep(draws.time(LONGEST_LIFE)) => {}
            _ = over.wait_for(|over| *over) => return (upstream, restarts),
        }
        let handle = upstream.handle.clone();
        upstream.kill().await;
        sleep(draws.time(LONGEST_GAP)).await;
        upstream = Upstream::start(&handle, ports.upstream).await;
    }
    unreachable!("the run is over at some time")
}
