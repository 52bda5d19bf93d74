//! A way to the upstream that can go away and come back, as the upstream's own
//! servers do.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet, yield_now},
    time::timeout,
};

/// How long a port may stay in use whose owner is gone. A process that is being
/// started has copies of its parent's sockets until it runs its own program.
const PATIENCE: Duration = Duration::from_secs(30);

/// Binds a port that was in use a moment ago.
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
    timeout(PATIENCE, bound).await.expect("somebody else has the port")
}

/// Passes connections on to an upstream.
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

    /// Cuts all connections, and refuses new ones.
    pub async fn cut(&mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// Takes connections again.
    pub async fn mend(&mut self) {
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
            // However it ends, both ends are closed.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
