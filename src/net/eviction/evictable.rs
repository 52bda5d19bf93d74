//! One connection of the queue: what decides about it, and how it learns that it ends.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep, timeout};

use super::{Client, EvictionQueue, Rank};
use crate::{
    budget::Standing,
    net::{goaway::Ending, streams::Streams},
};

/// Time, up to twice that, for a peer without an open stream to answer the PING between
/// two GOAWAYs. A client answers within a round trip; others need the connection. Also the
/// time for requests to start, if the metadata of others were rejected.
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time for requests to start as RPCs, on a connection that ends for another:
/// far more than a message and the look-up of a key take. What anybody can leave open,
/// such as a watch on the health, ends then, or once there is no room for others.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(5);

/// What decides about a connection. A silent one is little else, so this is small.
#[derive(Debug)]
pub(super) struct Activity {
    number: u64,
    arrived: Instant,
    /// The rank with which it is in the queue.
    queued_as: Mutex<Rank>,
    http2: OnceLock<Http2>,
    evicted: AtomicBool,
    /// Whether it may not take any more time.
    ended: AtomicBool,
    /// The task of the connection.
    task: AtomicWaker,
}

/// What a connection has once it speaks HTTP/2.
#[derive(Debug, Default)]
struct Http2 {
    standing: Standing,
    streams: Streams,
}

impl Activity {
    pub(super) fn new(number: u64) -> Self {
        let arrived = Instant::now();
        let rank = Rank { client: Client::None, unused_since: arrived, number };
        Self {
            number,
            arrived,
            queued_as: Mutex::new(rank),
            http2: OnceLock::new(),
            evicted: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Returns the rank that the connection has now.
    pub(super) fn rank(&self, now: Instant) -> Rank {
        let (client, number) = (self.client(), self.number);
        let unused_since = match self.http2.get() {
            Some(http2) if client == Client::Known => http2.streams.unused_since(now),
            _ => self.arrived,
        };
        Rank { client, unused_since, number }
    }

    /// Returns the rank with which the connection is in the queue.
    pub(super) fn queued_as(&self) -> Rank {
        *self.queued_as.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queue_as(&self, rank: Rank) {
        *self.queued_as.lock().unwrap_or_else(PoisonError::into_inner) = rank;
    }

    pub(super) fn client(&self) -> Client {
        match self.http2.get().map(|http2| &http2.standing) {
            Some(standing) if standing.is_known() => Client::Known,
            Some(standing) if standing.has_started() => Client::Unconfirmed,
            _ => Client::None,
        }
    }

    /// Has the connection end.
    pub(super) fn evict(&self) {
        self.set(&self.evicted);
    }

    /// Has the connection end at once, if it has to end.
    pub(super) fn end(&self) {
        self.set(&self.ended);
    }

    fn set(&self, flag: &AtomicBool) {
        flag.store(true, SeqCst);
        self.task.wake();
    }

    /// Completes once `flag` is set. Only the task of the connection waits for that.
    async fn until(&self, flag: &AtomicBool) {
        poll_fn(|context| {
            self.task.register(context.waker());
            if flag.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn evicted(&self) {
        self.until(&self.evicted).await;
    }

    async fn unwanted(&self) {
        match self.http2.get() {
            Some(http2) => http2.standing.unwanted().await,
            None => pending().await,
        }
    }
}

/// One connection of the queue, until its end.
#[derive(Debug)]
pub(in crate::net) struct Evictable {
    queue: Arc<EvictionQueue>,
    activity: Arc<Activity>,
    /// Whether it carries requests, once that is decided. A request must not be served on
    /// a connection that ends as unused: its client would send it again.
    is_used: OnceLock<bool>,
}

impl Evictable {
    pub(super) fn new(queue: Arc<EvictionQueue>, activity: Arc<Activity>) -> Self {
        Self { queue, activity, is_used: OnceLock::new() }
    }

    /// Returns where the start of an RPC is to be recorded. The connection speaks HTTP/2.
    pub(in crate::net) fn standing(&self) -> Standing {
        self.http2().standing.clone()
    }

    /// Returns what counts the streams. The connection speaks HTTP/2.
    pub(in crate::net) fn streams(&self) -> Streams {
        self.http2().streams.clone()
    }

    fn http2(&self) -> &Http2 {
        self.activity.http2.get_or_init(Http2::default)
    }

    /// Reports whether the connection may carry a request, which decides that it is used.
    pub(in crate::net) fn may_serve(&self) -> bool {
        *self.is_used.get_or_init(|| true)
    }

    /// Returns how much of a time since it arrived is left.
    pub(in crate::net) fn left_of(&self, limit: Duration) -> Duration {
        limit.saturating_sub(self.activity.arrived.elapsed())
    }

    /// Completes once the connection has to end: for another, because its metadata were
    /// rejected too often, or because it has carried no request within `limit`.
    pub(in crate::net) async fn ends(&self, limit: Duration) -> Ending {
        let used = async {
            let _ = timeout(limit, self.activity.evicted()).await;
            if *self.is_used.get_or_init(|| false) {
                self.activity.evicted().await;
                return Ending::Evicted;
            }
            Ending::Unused
        };
        tokio::select! {
            ending = used => ending,
            () = self.activity.unwanted() => Ending::Unwanted,
        }
    }

    /// Completes once a connection that has been sent a GOAWAY has to end without its
    /// peer: it was unused for `limit`, or others need it and no RPC is lost.
    pub(in crate::net) async fn ends_at_once(&self, limit: Duration) -> Ending {
        let ending = self.ends(limit).await;
        let start_timeout = match ending {
            Ending::Unwanted => PONG_TIMEOUT,
            _ => START_TIMEOUT,
        };
        if ending != Ending::Unused {
            let Http2 { standing, streams } = self.http2();
            let unstarted = async {
                sleep(start_timeout).await;
                if standing.has_started() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.activity.until(&self.activity.ended) => {}
                () = streams.idle(PONG_TIMEOUT) => {}
                () = unstarted => {}
            }
        }
        ending
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        self.activity.evicted.load(SeqCst)
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.queue.lock().remove(&self.activity);
    }
}
