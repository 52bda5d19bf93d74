//! HTTP/2 to Polytomic: a connection carries as many requests as Polytomic allows.
//!
//! This is on `h2` and not on hyper's client, which puts requests over the peer's limit
//! into a queue without an end, and which resets the stream of each request that is
//! dropped at once.

mod exchange;
mod reset;

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::{
    Ping, PingPong,
    client::{Builder, SendRequest},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};

pub(super) use self::exchange::send;
use self::reset::Pace;
use super::BoxError;

/// How often a connection with requests on it gets a PING, and how long its response may
/// take. A request that times out leaves the connection open, and the next one would be
/// lost on it too.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of a response's headers.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// Maximum bytes of a response that Polytomic may send before the gateway reads them:
/// enough for 8 MiB per second at a round trip of 30 ms.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all responses of a connection. Those that wait for memory are not read,
/// and must not use up the window of those that are.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// The most streams that a connection is used for if Polytomic allows more: as many
/// requests fail if it breaks.
const MAX_STREAMS: usize = 250;

/// Open streams from which on a connection lets other tasks run before it writes. One
/// alone would wait for nothing.
const BUSY: usize = 2;

/// An open connection. It closes once all clones are dropped and all streams have ended.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// Streams that Polytomic allows.
    limit: watch::Receiver<usize>,
    open: Open,
    pace: Arc<Pace>,
}

/// The number of open streams.
#[derive(Debug, Clone, Default)]
struct Open(Arc<AtomicUsize>);

#[derive(Debug, thiserror::Error)]
#[error("the connection ended before its first SETTINGS frame")]
struct NoSettings;

/// Starts HTTP/2 on a new connection, and waits until Polytomic says how many streams it
/// allows. More would be refused.
///
/// # Errors
///
/// If the connection ends before. A server that allows none keeps it waiting.
pub(super) async fn handshake<T>(stream: T) -> Result<Connection, BoxError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake(stream)
        .await?;
    let pings = connection.ping_pong().expect("nothing else has taken it");
    let (allowed, mut limit) = watch::channel(0);
    let open = Open::default();
    let mut dead = Box::pin(keep_alive(pings, open.clone()));
    let (in_use, mut others_ran) = (open.clone(), false);
    // Its error is that of the requests on it.
    tokio::spawn(poll_fn(move |cx| {
        // Each request wakes the connection, which tokio then runs next. Once the other
        // tasks have run, too, it writes all their requests together.
        others_ran = !others_ran && in_use.count() >= BUSY;
        if others_ran {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // The streams of a connection that is dropped end with an error.
        let ended = dead.poll_unpin(cx).is_ready() | connection.poll_unpin(cx).is_ready();
        let streams = connection.max_concurrent_send_streams().min(MAX_STREAMS);
        allowed.send_if_modified(|allowed| mem::replace(allowed, streams) != streams);
        if ended { Poll::Ready(()) } else { Poll::Pending }
    }));
    limit.wait_for(|limit| *limit > 0).await.map_err(|_| NoSettings)?;
    Ok(Connection { sender, limit, open, pace: Arc::default() })
}

impl Connection {
    /// Returns how many streams Polytomic allows now, at most 250.
    pub(super) fn limit(&self) -> usize {
        *self.limit.borrow()
    }

    /// Reports whether new streams can be opened: the connection is open, and Polytomic
    /// has not sent GOAWAY.
    pub(super) fn is_usable(&self) -> bool {
        let ready = poll_fn(|cx| self.sender.clone().poll_ready(cx));
        ready.now_or_never().is_none_or(|ready| ready.is_ok())
    }

    /// Returns the limit as it changes, until the connection ends.
    pub(super) fn watch_limit(&self) -> watch::Receiver<usize> {
        self.limit.clone()
    }
}

/// Completes once the peer does not respond.
async fn keep_alive(mut pings: PingPong, open: Open) {
    loop {
        sleep(KEEP_ALIVE_INTERVAL).await;
        if open.count() == 0 {
            continue;
        }
        let pong = timeout(KEEP_ALIVE_TIMEOUT, pings.ping(Ping::opaque())).await;
        if !matches!(pong, Ok(Ok(_))) {
            return;
        }
    }
}

impl Open {
    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Counts a stream until the result is dropped.
    fn add(&self) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self.clone())
    }
}

#[derive(Debug)]
struct Counted(Open);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
