//! Permission to send one request on a connection.

use super::{
    super::{http1, http2},
    Pool,
    state::{Idle, Lease},
};

/// Permission to send one request on a connection.
#[derive(Debug)]
pub(in super::super) enum Slot {
    Http1(LentConnection),
    Http2(http2::Connection, StreamPermit),
}

/// An HTTP/1.1 connection that only one request uses.
#[derive(Debug)]
pub(in super::super) struct LentConnection {
    pub(super) idle: Idle,
    pub(super) pool: Pool,
}

/// A stream of an HTTP/2 connection, until this is dropped.
#[derive(Debug)]
pub(in super::super) struct StreamPermit {
    pub(super) lease: Lease,
    pub(super) pool: Pool,
}

impl LentConnection {
    /// Reports whether the connection has carried a request before. Polytomic may then be
    /// closing it.
    pub(in super::super) fn is_reused(&self) -> bool {
        self.idle.is_reused
    }
}

impl http1::Lent for LentConnection {
    fn connection(&mut self) -> &mut http1::Connection {
        &mut self.idle.connection
    }

    fn give_back(mut self) {
        if self.idle.connection.is_ready() {
            return self.pool.give_back(self.idle);
        }
        // It has yet to read the end of the response.
        tokio::spawn(async move {
            self.idle.connection.finish().await;
            if self.idle.connection.is_ready() {
                self.pool.give_back(self.idle);
            }
        });
    }
}

impl Pool {
    fn give_back(&self, idle: Idle) {
        let mut state = self.state();
        state.give_back(idle);
        if state.queue.len() > 0 {
            self.dispatch(state);
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.release(self.lease);
        if state.queue.len() > 0 {
            self.pool.dispatch(state);
        }
    }
}
