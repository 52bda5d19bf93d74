//! A relay to the upstream that a test can cut and restore.

use std::{io, net::SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet, yield_now},
    time::timeout,
};

use crate::HANG_GUARD;

/// Binds a port whose owner has just ended. The port can stay in use for a moment:
/// a process that starts has copies of its parent's sockets until it runs its own
/// program.
pub async fn bind_again<T, F>(bind: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let bound = async {
        loop {
            match bind().await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    yield_now().await;
                }
                bound => return bound.unwrap(),
            }
        }
    };
    timeout(HANG_GUARD, bound).await.expect("another process has the port")
}

/// Forwards connections to an upstream.
pub struct Relay {
    address: SocketAddr,
    upstream: SocketAddr,
    running: JoinHandle<()>,
}

impl Relay {
    pub async fn start(address: SocketAddr, upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self { address, upstream, running: tokio::spawn(serve(listener, upstream)) }
    }

    /// Closes all connections, and accepts no new ones.
    pub async fn cut(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// Accepts connections again.
    pub async fn restore(&mut self) {
        let listener = bind_again(|| TcpListener::bind(self.address)).await;
        self.running = tokio::spawn(serve(listener, self.upstream));
    }
}

async fn serve(listener: TcpListener, upstream: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(upstream).await else { return };
            // Whichever side ends first, both are closed.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
