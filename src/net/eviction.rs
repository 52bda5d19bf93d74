//! Which connection ends for another at the connection limit.
//!
//! To connect costs a peer nothing, and neither does a request that anybody can send. So
//! peers that do only that must not keep out clients. One order decides which connection
//! ends first:
//!
//! 1. those on which no RPC has started, the oldest first;
//! 2. those on which only RPCs with keys that Polytomic has not confirmed have started,
//!    which may be made up, the oldest first;
//! 3. the others, those without an open stream for longest first, after 5 s of that.
//!
//! A client that connects has its first RPC started within a round trip and a look-up of
//! its key, so it passes all peers that only seem to be clients.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{goaway::Ending, streams::Streams};
use crate::budget::Standing;

/// Minimum time without an open stream, after which a connection with RPCs of a known
/// client ends for another: a client in the middle of its work takes less between two RPCs.
const IDLE: Duration = Duration::from_secs(5);

/// Time, up to twice that, for a peer without an open stream to answer the PING between
/// two GOAWAYs. A client answers within a round trip; others need the connection. Also the
/// time for requests to start, if the metadata of others were rejected.
const PONG_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time for requests to start as RPCs, on a connection that ends for another:
/// far more than a message and the look-up of a key take. What anybody can leave open,
/// such as a watch on the health, ends then, or once there is no room for others.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The open connections, in the order in which they end for others.
#[derive(Debug, Default)]
pub(super) struct EvictionQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    arrived: u64,
    /// By rank when it was last looked at. It only rises, so the rank of no connection
    /// is lower, and an RPC need not move its connection.
    by_rank: BTreeMap<Rank, Arc<Activity>>,
    ranks: HashMap<u64, Rank>,
    /// Those that have to end but are still open, the first first: by number.
    ending: VecDeque<(u64, Arc<Activity>)>,
}

/// The place of a connection in the order. The lowest ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    client: Client,
    /// When it arrived or, of a known client, its last stream ended.
    unused_since: Instant,
    number: u64,
}

/// The best client whose RPCs have started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    None,
    Unconfirmed,
    Known,
}

/// What decides about a connection.
#[derive(Debug)]
struct Activity {
    evicted: CancellationToken,
    /// Whether it may not take any more time.
    ended: CancellationToken,
    arrived: Instant,
    standing: Standing,
    streams: Streams,
}

impl EvictionQueue {
    /// Adds a connection.
    pub(super) fn add(self: &Arc<Self>) -> Evictable {
        let activity = Arc::new(Activity {
            evicted: CancellationToken::new(),
            ended: CancellationToken::new(),
            arrived: Instant::now(),
            standing: Standing::default(),
            streams: Streams::default(),
        });
        let mut queue = self.lock();
        queue.arrived += 1;
        let number = queue.arrived;
        queue.insert(activity.rank(number, activity.arrived), Arc::clone(&activity));
        drop(queue);
        Evictable { queue: Arc::clone(self), number, activity, is_used: OnceLock::new() }
    }

    /// Has the first connection end. Reports whether there is one that may.
    pub(super) fn evict_first(&self) -> bool {
        let now = Instant::now();
        let mut queue = self.lock();
        while let Some(first) = queue.by_rank.first_entry() {
            if !first.key().may_end(now) {
                return false;
            }
            let (seen, activity) = first.remove_entry();
            let rank = activity.rank(seen.number, now);
            if rank == seen {
                queue.ranks.remove(&rank.number);
                activity.evicted.cancel();
                queue.ending.push_back((rank.number, activity));
                return true;
            }
            queue.insert(rank, activity);
        }
        false
    }

    /// Has a connection end at once that has to end: of those with the lowest client the
    /// one that has had the most time, but none of a known client. Reports whether there
    /// is one.
    pub(super) fn end_first(&self) -> bool {
        let mut queue = self.lock();
        let clients = queue.ending.iter().map(|(_, activity)| activity.client());
        let first = clients.enumerate().min_by_key(|(_, client)| *client);
        let Some((place, _)) = first.filter(|(_, client)| *client < Client::Known) else {
            return false;
        };
        if let Some((_, activity)) = queue.ending.remove(place) {
            activity.ended.cancel();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn insert(&mut self, rank: Rank, activity: Arc<Activity>) {
        self.ranks.insert(rank.number, rank);
        self.by_rank.insert(rank, activity);
    }

    fn remove(&mut self, number: u64) {
        if let Some(rank) = self.ranks.remove(&number) {
            self.by_rank.remove(&rank);
        } else {
            self.ending.retain(|(ending, _)| *ending != number);
        }
    }
}

impl Rank {
    fn may_end(&self, now: Instant) -> bool {
        self.client < Client::Known || now.duration_since(self.unused_since) >= IDLE
    }
}

impl Activity {
    fn rank(&self, number: u64, now: Instant) -> Rank {
        let client = self.client();
        let unused_since = match client {
            Client::None | Client::Unconfirmed => self.arrived,
            Client::Known => self.streams.unused_since(now),
        };
        Rank { client, unused_since, number }
    }

    fn client(&self) -> Client {
        if self.standing.is_known() {
            Client::Known
        } else if self.standing.has_started() {
            Client::Unconfirmed
        } else {
            Client::None
        }
    }
}

/// One connection of the queue, until its end.
#[derive(Debug)]
pub(super) struct Evictable {
    queue: Arc<EvictionQueue>,
    number: u64,
    activity: Arc<Activity>,
    /// Whether it carries requests, once that is decided. A request must not be served on
    /// a connection that ends as unused: its client would send it again.
    is_used: OnceLock<bool>,
}

impl Evictable {
    /// Returns where the start of an RPC is to be recorded.
    pub(super) fn standing(&self) -> Standing {
        self.activity.standing.clone()
    }

    /// Returns what counts the streams.
    pub(super) fn streams(&self) -> Streams {
        self.activity.streams.clone()
    }

    /// Reports whether the connection may carry a request, which decides that it is used.
    pub(super) fn may_serve(&self) -> bool {
        *self.is_used.get_or_init(|| true)
    }

    /// Completes once the connection has to end: for another, because its metadata were
    /// rejected too often, or because it has carried no request within `limit`.
    pub(super) async fn ends(&self, limit: Duration) -> Ending {
        let Activity { evicted, standing, .. } = &*self.activity;
        let used = async {
            let _ = timeout(limit, evicted.cancelled()).await;
            if *self.is_used.get_or_init(|| false) {
                evicted.cancelled().await;
                return Ending::Evicted;
            }
            Ending::Unused
        };
        tokio::select! {
            ending = used => ending,
            () = standing.unwanted() => Ending::Unwanted,
        }
    }

    /// Completes once a connection that has been sent a GOAWAY has to end without its
    /// peer: it was unused for `limit`, or others need it and no RPC is lost.
    pub(super) async fn ends_at_once(&self, limit: Duration) -> Ending {
        let ending = self.ends(limit).await;
        let start_timeout = match ending {
            Ending::Unwanted => PONG_TIMEOUT,
            _ => START_TIMEOUT,
        };
        if ending != Ending::Unused {
            let unstarted = async {
                sleep(start_timeout).await;
                if self.activity.standing.has_started() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.activity.ended.cancelled() => {}
                () = self.activity.streams.idle(PONG_TIMEOUT) => {}
                () = unstarted => {}
            }
        }
        ending
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.queue.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{future::ready, pin::pin};

    use futures_util::FutureExt;
    use hyper::rt::Executor;
    use tokio::{sync::oneshot, task::yield_now, time::advance};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn is_evicted(connection: &Evictable) -> bool {
        connection.activity.evicted.is_cancelled()
    }

    /// Serves a request on which no RPC starts.
    async fn junk(connection: &Evictable) {
        assert!(connection.may_serve());
        connection.streams().execute(ready(()));
        yield_now().await;
    }

    async fn rpc(connection: &Evictable) {
        connection.standing().start(true);
        junk(connection).await;
    }

    async fn unconfirmed_rpc(connection: &Evictable) {
        connection.standing().start(false);
        junk(connection).await;
    }

    #[tokio::test(start_paused = true)]
    async fn oldest_connection_without_an_rpc_ends_first() {
        let queue = Arc::<EvictionQueue>::default();
        let [used, made_up, ended, silent, junky, newest] = [(); 6].map(|()| queue.add());
        rpc(&used).await;
        unconfirmed_rpc(&made_up).await;
        drop(ended);
        advance(Duration::from_secs(60)).await;
        junk(&junky).await;
        for (evicted, next) in [(&silent, &junky), (&junky, &newest)] {
            assert!(queue.evict_first());
            assert!(is_evicted(evicted) && !is_evicted(next));
        }
        assert_eq!(silent.ends(LIMIT).await, Ending::Unused);
        assert!(!silent.may_serve());
        assert_eq!(junky.ends(LIMIT).await, Ending::Evicted);
        assert!(junky.may_serve());
        drop(newest);
        // Only now one with RPCs, without a pause if its client is not known.
        unconfirmed_rpc(&made_up).await;
        assert!(!is_evicted(&made_up) && queue.evict_first() && is_evicted(&made_up));
        assert!(!is_evicted(&used) && queue.evict_first() && is_evicted(&used));
        assert!(!queue.evict_first());
        assert!(queue.lock().ranks.is_empty() && queue.lock().by_rank.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_a_stream_for_longest_ends_next() {
        let queue = Arc::<EvictionQueue>::default();
        let [first, second, open] = [(); 3].map(|()| queue.add());
        for connection in [&first, &second, &open] {
            rpc(connection).await;
        }
        let (end, ended) = oneshot::channel::<()>();
        open.streams().execute(ended.map(|_| ()));
        advance(Duration::from_secs(1)).await;
        rpc(&first).await;
        advance(Duration::from_millis(3999)).await;
        assert!(!queue.evict_first());
        advance(Duration::from_millis(1)).await;
        assert!(queue.evict_first() && is_evicted(&second));
        assert!(!queue.evict_first());
        advance(Duration::from_secs(1)).await;
        assert!(queue.evict_first() && is_evicted(&first));
        advance(10 * IDLE).await;
        assert!(!queue.evict_first());
        end.send(()).unwrap();
        yield_now().await;
        assert!(!queue.evict_first());
        advance(IDLE).await;
        assert!(queue.evict_first() && is_evicted(&open));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_a_request_ends_after_the_limit() {
        let queue = Arc::<EvictionQueue>::default();
        let (unused, used) = (queue.add(), queue.add());
        junk(&used).await;
        let started = Instant::now();
        assert_eq!(unused.ends(LIMIT).await, Ending::Unused);
        assert!(started.elapsed() >= LIMIT);
        assert!(!unused.may_serve());
        assert!(timeout(2 * LIMIT, used.ends(LIMIT)).await.is_err());
    }

    /// Waits for the end of an evicted connection; returns the time that it has taken.
    async fn ended(connection: &Evictable) -> Option<Duration> {
        let started = Instant::now();
        let ending = timeout(LIMIT, connection.ends_at_once(LIMIT)).await.ok()?;
        assert_eq!(ending, Ending::Evicted);
        Some(started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn evicted_connection_is_waited_for_while_an_rpc_may_be_lost() {
        let queue = Arc::<EvictionQueue>::default();
        let [silent, held, busy] = [(); 3].map(|()| queue.add());
        for connection in [&silent, &held, &busy] {
            junk(connection).await;
            assert!(queue.evict_first());
        }
        let within = |took: Option<Duration>, least| {
            let took = took.unwrap();
            took >= least && took <= 2 * least
        };
        assert!(within(ended(&silent).await, PONG_TIMEOUT));
        held.streams().execute(pending());
        assert!(within(ended(&held).await, START_TIMEOUT));
        let mut response = pin!(async {
            let (end, ended) = oneshot::channel::<()>();
            busy.streams().execute(ended.map(|_| ()));
            sleep(START_TIMEOUT / 2).await;
            busy.standing().start(false);
            sleep(LIMIT).await;
            end.send(()).unwrap();
        });
        tokio::select! {
            () = &mut response => {}
            ending = busy.ends_at_once(LIMIT) => panic!("{ending:?} within an RPC"),
        }
        assert!(within(ended(&busy).await, PONG_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_of_no_known_client_ends_at_once_if_there_is_no_room() {
        let queue = Arc::<EvictionQueue>::default();
        let [made_up, gone, silent, next, used, open] = [(); 6].map(|()| queue.add());
        for connection in [&made_up, &gone, &silent, &next, &used] {
            connection.streams().execute(pending());
            assert!(connection.may_serve());
            assert!(queue.evict_first() && is_evicted(connection));
        }
        made_up.standing().start(false);
        used.standing().start(true);
        drop(gone);
        for first in [&silent, &next, &made_up] {
            assert!(queue.end_first());
            assert_eq!(ended(first).await, Some(Duration::ZERO));
        }
        assert!(!queue.end_first() && !is_evicted(&open));
        assert_eq!(ended(&used).await, None);
        drop((silent, next, made_up, used));
        assert!(queue.lock().ending.is_empty());
    }
}
