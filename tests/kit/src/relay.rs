//! A relay to the upstream that a test can cut and restore.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet, yield_now},
    time::timeout,
};

use crate::{HANG_GUARD, HOST};

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

/// Forwards connections to an upstream. Closed, it keeps what the clients send, and
/// forwards it together once it is opened.
pub struct Valve {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
}

impl Valve {
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = watch::Sender::new(true);
        let opened = is_open.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (read, mut write) = near.into_split();
                let far = TcpStream::connect(upstream).await.unwrap();
                let (mut responses, requests) = far.into_split();
                tokio::spawn(forward(read, requests, opened.clone()));
                tokio::spawn(async move {
                    // Either side may end.
                    let _ = tokio::io::copy(&mut responses, &mut write).await;
                });
            }
        });
        Self { address, is_open }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut opened: watch::Receiver<bool>,
) {
    let mut kept = Vec::new();
    loop {
        tokio::select! {
            read = from.read_buf(&mut kept) => match read {
                Ok(1..) => {}
                _ => return,
            },
            changed = opened.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        if *opened.borrow() && !kept.is_empty() {
            if to.write_all(&kept).await.is_err() {
                return;
            }
            kept.clear();
        }
    }
}
