//! Which connections there are, who uses them, and how many are needed.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{
    super::{client::Client, http1, http2},
    connecting::Connecting,
    queue::Queue,
};
use crate::budget::FairShare;

/// How long an unused connection is kept. Below the 60 s after which common load
/// balancers close one, so that a request seldom meets a closing connection.
const IDLE: Duration = Duration::from_secs(50);

/// Maximum requests that wait for a stream.
const WAITING: usize = 1024;

/// The pause after a connection could not be opened in addition to others.
const PAUSE: Duration = Duration::from_secs(1);

/// The bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Limits {
    /// Maximum HTTP/2 connections.
    pub(in super::super) connections: usize,
    /// The age at which a connection is replaced, give or take a tenth.
    pub(in super::super) age: Duration,
}

/// What is known of the protocol before a connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// The connections of a pool. `T` is what the requests in the queue wait for.
#[derive(Debug)]
pub(super) struct State<T> {
    limits: Limits,
    pub(super) queue: Queue<T>,
    protocol: Protocol,
    /// HTTP/1.1 connections without a request. The last was used last.
    pub(super) idle: Vec<Idle>,
    /// HTTP/2 connections, the oldest first.
    shared: Vec<Multiplexed>,
    /// Streams on connections that get no new ones.
    retired: usize,
    held: HashMap<Client, usize>,
    pub(super) connecting: Connecting,
    /// The streams that the last HTTP/2 connection allowed.
    streams_each: usize,
    paused_until: Option<Instant>,
    pub(super) is_swept: bool,
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: http1::Connection,
    /// Whether it has carried a request.
    pub(super) is_reused: bool,
    since: Instant,
    expires: Instant,
}

/// An HTTP/2 connection.
#[derive(Debug)]
struct Multiplexed {
    id: u64,
    connection: http2::Connection,
    in_use: usize,
    since: Instant,
    expires: Instant,
}

/// A stream that a client holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    connection: u64,
    client: Client,
}

impl<T> State<T> {
    pub(super) fn new(limits: Limits, may_speak_http2: bool) -> Self {
        let protocol = if may_speak_http2 { Protocol::Unknown } else { Protocol::Http1 };
        Self {
            limits: Limits { connections: limits.connections.max(1), ..limits },
            queue: Queue::new(),
            protocol,
            idle: Vec::new(),
            shared: Vec::new(),
            retired: 0,
            held: HashMap::new(),
            connecting: Connecting::default(),
            streams_each: 1,
            paused_until: None,
            is_swept: false,
        }
    }

    /// Takes the idle HTTP/1.1 connection that was used last.
    pub(super) fn take_idle(&mut self) -> Option<Idle> {
        let now = Instant::now();
        std::iter::from_fn(|| self.idle.pop()).find(|idle| idle.is_usable(now))
    }

    /// Adds a new HTTP/1.1 connection.
    pub(super) fn add_http1(&mut self, connection: http1::Connection) {
        self.protocol = Protocol::Http1;
        let since = Instant::now();
        let expires = since + self.lifetime();
        self.idle.push(Idle { connection, is_reused: false, since, expires });
    }

    /// Adds an HTTP/1.1 connection that has carried a request.
    pub(super) fn give_back(&mut self, idle: Idle) {
        self.idle.push(Idle { is_reused: true, since: Instant::now(), ..idle });
    }

    /// Adds a new HTTP/2 connection, unless there are enough. Those that it replaces get
    /// no more requests. Reports whether it is added.
    pub(super) fn add_http2(&mut self, id: u64, connection: http2::Connection) -> bool {
        self.protocol = Protocol::Http2;
        self.streams_each = connection.limit().max(1);
        let since = Instant::now();
        while let Some(old) = self.shared.iter().find(|old| old.expires <= since) {
            self.retire(old.id);
        }
        if self.shared.len() >= self.limits.connections {
            return false;
        }
        let expires = since + self.lifetime();
        self.shared.push(Multiplexed { id, connection, in_use: 0, since, expires });
        true
    }

    /// Gives a stream to a client, if there is one and the client may hold another.
    pub(super) fn lease(&mut self, client: Client) -> Option<(http2::Connection, Lease)> {
        let now = Instant::now();
        while let Some(gone) = self.shared.iter().find(|one| !one.connection.is_usable())
        {
            self.retire(gone.id);
        }
        if !self.may_hold_another(client) {
            return None;
        }
        // One that is too old serves until there is another.
        let free = |one: &&mut Multiplexed| one.in_use < one.connection.limit();
        let one =
            self.shared.iter_mut().filter(free).min_by_key(|one| one.expires <= now)?;
        one.in_use += 1;
        *self.held.entry(client).or_default() += 1;
        Some((one.connection.clone(), Lease { connection: one.id, client }))
    }

    /// Reports whether the formula of [`budget`](crate::budget) allows a client another
    /// stream of the connections that are open.
    fn may_hold_another(&self, client: Client) -> bool {
        let total = self.retired
            + self.shared.iter().map(|one| one.connection.limit()).sum::<usize>();
        let used = self.retired + self.shared.iter().map(|one| one.in_use).sum::<usize>();
        let held = self.held.get(&client).copied().unwrap_or(0);
        held < limit(client, total, used.saturating_sub(held))
    }

    /// Ends a lease.
    pub(super) fn release(&mut self, lease: Lease) {
        if let Some(held) = self.held.get_mut(&lease.client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&lease.client);
            }
        }
        match self.shared.iter_mut().find(|one| one.id == lease.connection) {
            Some(one) => {
                one.in_use -= 1;
                one.since = Instant::now();
            }
            None => self.retired -= 1,
        }
    }

    /// Gives a connection no more requests. It closes once those on it have ended.
    pub(super) fn retire(&mut self, id: u64) {
        if let Some(index) = self.shared.iter().position(|one| one.id == id) {
            self.retired += self.shared.remove(index).in_use;
        }
    }

    /// Reports whether requests wait because the streams of open connections are in use.
    pub(super) fn is_busy(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Reports whether a client may have another request wait for a stream.
    pub(super) fn may_wait(&self, client: Client) -> bool {
        let own = self.queue.len_of(client);
        !self.is_busy() || own < limit(client, WAITING, self.queue.len() - own)
    }

    /// Returns the number of HTTP/2 connections and of the streams in use on them.
    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.shared.len(), self.shared.iter().map(|one| one.in_use).sum())
    }

    /// Returns the ID of a connection to open, if one is needed.
    pub(super) fn next_connection(&mut self) -> Option<u64> {
        let is_needed = self.connecting.len() < self.needed();
        is_needed.then(|| self.connecting.next_id())
    }

    /// Returns how many waiting requests fail because a connection could not be opened.
    pub(super) fn failed_to_connect(&mut self) -> usize {
        match self.protocol {
            Protocol::Http1 => self.queue.len().min(1),
            _ if self.shared.is_empty() && self.connecting.len() == 0 => self.queue.len(),
            _ => {
                self.paused_until = Some(Instant::now() + PAUSE);
                0
            }
        }
    }

    /// Ends attempts to connect that nobody waits for, the oldest first: it may hang.
    pub(super) fn stop_connecting(&mut self) {
        let needed = self.needed();
        self.connecting.abort_beyond(needed);
    }

    /// Returns how many connections should be opening now.
    fn needed(&self) -> usize {
        let waiting = self.queue.len();
        let now = Instant::now();
        let streams_each = match self.protocol {
            Protocol::Http1 => return waiting,
            // One finds out for all. If there is none, the requests that wait fail with it.
            _ if self.shared.is_empty() => return waiting.min(1),
            _ => self.streams_each,
        };
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        let young = self.shared.iter().filter(|one| one.expires > now).count();
        let is_old = young == 0 && self.shared.iter().any(|one| one.in_use > 0);
        let needed = waiting.div_ceil(streams_each).max(usize::from(is_old));
        needed.min(self.limits.connections - young.min(self.limits.connections))
    }

    /// Closes connections that are unused for too long, or too old if there are younger
    /// ones: perhaps no other can be opened. Reports whether there are others.
    pub(super) fn sweep(&mut self) -> bool {
        let now = Instant::now();
        self.idle.retain_mut(|idle| idle.connection.check() && idle.is_usable(now));
        let may_expire = self.shared.iter().any(|one| one.expires > now);
        self.shared.retain(|one| {
            let is_old = may_expire && one.expires <= now;
            one.in_use > 0 || (!is_old && now - one.since < IDLE)
        });
        !self.idle.is_empty() || !self.shared.is_empty()
    }

    /// Returns an age at which to replace a connection. Connections that were opened
    /// together are not replaced together.
    fn lifetime(&self) -> Duration {
        self.limits.age.mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}

/// Returns how many of all streams, or places in the queue, a client may hold while
/// others hold some.
fn limit(client: Client, total: usize, others: usize) -> usize {
    if client == Client::Gateway { total } else { share(total).limit(others) }
}

/// Returns how clients share streams, or places in the queue. The reserve is small, so
/// that few busy clients may use most of them. The floor is enough to work, but never
/// all: another client always gets its next stream.
fn share(total: usize) -> FairShare {
    FairShare {
        total,
        reserved: total / 8,
        floor: (total / 2).clamp(1, 4),
        guaranteed: 0,
    }
}

impl Idle {
    /// Reports whether it can carry another request.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.connection.is_closed() && self.expires > now && now - self.since < IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_never_holds_all_streams_if_there_are_two() {
        for total in 2..1000 {
            let alone = share(total).limit(0);
            assert!((1..total).contains(&alone), "{alone} of {total}");
            assert!(share(total).limit(alone) > 0, "another client gets none of {total}");
        }
        assert_eq!(share(1).limit(0), 1);
    }

    #[tokio::test]
    async fn lost_connections_are_opened_one_at_a_time() {
        let limits = Limits { connections: 16, age: Duration::from_secs(300) };
        let mut state = State::<()>::new(limits, true);
        (state.protocol, state.streams_each) = (Protocol::Http2, 2);
        let _waiting = [(); 5].map(|()| state.queue.push(Client::Unconfirmed).1);
        let id = state.next_connection().expect("requests wait for one");
        state.connecting.started(id, tokio::spawn(async {}).abort_handle());
        assert_eq!(state.next_connection(), None);
        state.connecting.ended(id);
        assert_eq!(state.failed_to_connect(), 5);
    }
}
