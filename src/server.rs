//! The serving loop: from a listening socket to the last RPC's answer.
//!
//! tonic's own server leaves limits open that a server in a mesh must set, and
//! can hang when it is told to stop; this one sets every limit by name and is
//! through with its drain when it says it will be.

mod routes;
mod rpc;

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

pub use self::routes::Routes;

/// Streams that one connection may have open: gRPC clients expect about 100,
/// and more than 256 only helps a flood.
const MAX_STREAMS: u32 = 256;

/// The size of a request's metadata, as gRPC implementations have it. Room for
/// the largest credential (8 KiB) and the rest beside it.
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// Streams that a peer opened and reset before they were served, and streams
/// that its mistakes made us reset. Past these the connection ends: rapid reset
/// (CVE-2023-44487) and RUSTSEC-2024-0003.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 1024;

/// How much of a response is buffered for a stream that reads slowly.
const MAX_SEND_BUFFER: usize = 1024 * 1024;

/// Requests are small, so these are HTTP/2's own initial windows.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A peer that answers no PING is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait after an accept has failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens but does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    routes: Routes,
    drain_limit: Duration,
}

impl Server {
    /// Listens on an address. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        routes: Routes,
        drain_limit: Duration,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, routes, drain_limit })
    }

    /// Returns the address that is listened on, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then drains: no new connections, no
    /// new RPCs on old ones, and the drain limit for the RPCs in flight.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (drain, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let routes = self.routes.clone();
                        connections.spawn(serve(stream, peer, routes, draining.clone()));
                    }
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }

        drop(self.listener);
        self.routes.set_not_serving().await;
        drain.send_replace(true);
        info!(connections = connections.len(), "draining");
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_limit, all).await.is_err() {
            warn!(connections = connections.len(), "the drain limit is over; closing");
        }
    }
}

/// Serves one connection until it ends, or until its RPCs have ended once the
/// server is draining.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
    mut draining: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "the connection is gone");
        return;
    }
    let service = hyper::service::service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, std::convert::Infallible>(routes.serve(request).await) }
    });
    let mut connection =
        pin!(http2_builder().serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, error = %error, "the connection ended early");
    }
}

/// Completes when the server is draining.
async fn until(draining: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = draining.wait_for(|draining| *draining).await;
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
