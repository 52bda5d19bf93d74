//! The connections to Polytomic, and the requests that wait for one.
//!
//! Over HTTP/1.1 a connection carries one request at a time: a request takes the one
//! that was used last, or opens one. Over HTTP/2 all requests share a small number of
//! connections, each up to the streams that Polytomic allows. A request for which there
//! is no stream waits in the [`Queue`], not in a library, and connections are opened for
//! those that wait.
//!
//! Streams are shared by keys, with the formula of [`budget`](crate::budget): one that
//! uses many leaves as many free, so that another always gets its next. All keys that
//! are not confirmed are as one, and the gateway's own key shares with nobody.
//!
//! A connection is replaced after some minutes, so that a changed DNS answer is
//! followed. Requests on it end undisturbed.

mod connecting;
mod queue;
mod slot;
mod state;

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tracing::warn;

use self::{
    queue::Ticket,
    slot::{LentConnection, StreamPermit},
    state::State,
};
pub(super) use self::{slot::Slot, state::Limits};
use super::{
    BoxError, Error, Snapshot,
    client::Client,
    connect::{ConnectError, Connector, Opened},
};

/// How often connections that are unused or too old are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The most that a request stops waiting for a stream before its time ends, so that the
/// error says what it waited for.
const MARGIN: Duration = Duration::from_millis(100);

/// Minimum time between two log lines about requests without a stream.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The connections to one Polytomic. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    state: Mutex<State<Granted>>,
    busy: Mutex<Busy>,
}

/// Requests that got no stream since the last log line.
#[derive(Debug, Default)]
struct Busy {
    requests: u64,
    logged_at: Option<Instant>,
}

/// What a request in the queue gets.
type Granted = Result<Slot, ConnectError>;

/// A request in the queue, which leaves it when this is dropped.
struct Entry<'a> {
    pool: &'a Pool,
    ticket: Ticket,
}

impl Pool {
    /// Makes a pool without connections.
    pub(super) fn new(connector: Connector, limits: Limits) -> Self {
        let state = Mutex::new(State::new(limits, connector.may_speak_http2()));
        Self(Arc::new(Shared { connector, state, busy: Mutex::default() }))
    }

    /// Returns the state of the connections.
    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let (connections, streams) = state.in_use();
        Snapshot {
            idle: state.idle.len(),
            connections,
            streams,
            connecting: state.connecting.len(),
            waiting: state.queue.len(),
            ..Snapshot::default()
        }
    }

    /// Waits until there is a connection for a request of this client.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Timeout`], or [`Error::NoStream`] if all streams that
    /// the client may use are in use until just before `until`. Nothing was sent.
    pub(super) async fn acquire(
        &self,
        client: Client,
        until: Instant,
    ) -> Result<Slot, Error> {
        let (_entry, mut granted) = {
            let mut state = self.state();
            if let Some(slot) = self.try_grant(&mut state, client) {
                self.connect(&mut state);
                return Ok(slot);
            }
            if !state.may_wait(client) {
                return Err(self.no_stream(&state));
            }
            let (ticket, granted) = state.queue.push(client);
            self.connect(&mut state);
            (Entry { pool: self, ticket }, granted)
        };
        let left = until.saturating_duration_since(Instant::now());
        let early = until - (left / 10).min(MARGIN);
        let granted = if let Ok(granted) = timeout_at(early, &mut granted).await {
            granted
        } else {
            self.check_busy()?;
            timeout_at(until, granted).await.map_err(|_| Error::Timeout)?
        };
        match granted.expect("a request leaves the queue with a result") {
            Ok(slot) => Ok(slot),
            Err(error) => Err(Error::Connect(error.into())),
        }
    }

    /// Fails if requests wait because all streams are in use, and not for a connection.
    fn check_busy(&self) -> Result<(), Error> {
        let state = self.state();
        if state.is_busy() { Err(self.no_stream(&state)) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State<Granted>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_grant(&self, state: &mut State<Granted>, client: Client) -> Option<Slot> {
        if let Some(idle) = state.take_idle() {
            return Some(Slot::Http1(LentConnection { idle, pool: self.clone() }));
        }
        let (connection, lease) = state.lease(client)?;
        Some(Slot::Http2(connection, StreamPermit { lease, pool: self.clone() }))
    }

    /// Gives what is free to those that wait, by turns, and opens connections for the
    /// others.
    fn dispatch(&self, mut state: MutexGuard<'_, State<Granted>>) {
        let mut unclaimed = Vec::new();
        let mut skipped = 0;
        while skipped < state.queue.clients()
            && let Some(client) = state.queue.next()
        {
            if let Some(slot) = self.try_grant(&mut state, client) {
                unclaimed.extend(state.queue.serve(Ok(slot)));
                skipped = 0;
            } else {
                state.queue.skip();
                skipped += 1;
            }
        }
        self.connect(&mut state);
        drop(state);
        // Each takes the lock to return its slot.
        drop(unclaimed);
    }

    /// Opens the connections that are needed.
    fn connect(&self, state: &mut State<Granted>) {
        // There is none where a runtime that ends drops its tasks.
        let Ok(runtime) = Handle::try_current() else { return };
        while let Some(id) = state.next_connection() {
            let pool = self.clone();
            let task = runtime.spawn(async move {
                let opened = pool.0.connector.connect().await;
                pool.connected(id, opened);
            });
            state.connecting.started(id, task.abort_handle());
        }
    }

    fn connected(&self, id: u64, opened: Result<Opened, BoxError>) {
        let mut state = self.state();
        state.connecting.ended(id);
        match opened.and_then(Opened::check) {
            Ok(Opened::Http1(connection)) => state.add_http1(connection),
            Ok(Opened::Http2(connection)) => {
                let limit = connection.watch_limit();
                if state.add_http2(id, connection) {
                    tokio::spawn(follow(Arc::downgrade(&self.0), id, limit));
                }
            }
            Err(error) => {
                let error = ConnectError::new(error);
                for _ in 0..state.failed_to_connect() {
                    state.queue.serve(Err(error.clone()));
                }
            }
        }
        if !mem::replace(&mut state.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
        self.dispatch(state);
    }

    /// Returns the error of a request without a stream, and logs it unless a line has
    /// been logged recently.
    fn no_stream(&self, state: &State<Granted>) -> Error {
        let (connections, streams) = state.in_use();
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.requests += 1;
        if busy.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            busy.logged_at = Some(Instant::now());
            let requests = mem::take(&mut busy.requests);
            let waiting = state.queue.len();
            warn!(requests, connections, streams, waiting, "no free stream to Polytomic");
        }
        Error::NoStream
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if state.queue.remove(self.ticket) {
            state.stop_connecting();
        }
    }
}

/// Has requests that wait use new streams, until the connection ends.
async fn follow(pool: Weak<Shared>, id: u64, mut limit: watch::Receiver<usize>) {
    loop {
        let is_open = limit.changed().await.is_ok();
        let Some(pool) = pool.upgrade().map(Pool) else { return };
        let mut state = pool.state();
        if !is_open {
            state.retire(id);
        }
        pool.dispatch(state);
        if !is_open {
            return;
        }
    }
}

/// Closes connections that are unused or too old, as long as there are connections.
async fn sweep(pool: Weak<Shared>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(pool) = pool.upgrade().map(Pool) else { return };
        let mut state = pool.state();
        if !state.sweep() {
            state.is_swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests;
