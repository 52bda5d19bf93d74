//! A Polytomic in memory, for benchmarks and tests: responses without sockets.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use super::{Request, exchange::Body};

type Respond = dyn Fn(&Request) -> http::Response<Bytes> + Send + Sync;

/// Responds to each request immediately.
#[derive(Clone)]
pub(super) struct Memory(Arc<Respond>);

impl Memory {
    pub(super) fn new(
        respond: impl Fn(&Request) -> http::Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(respond))
    }

    pub(super) fn send(&self, request: &Request) -> http::Response<Body> {
        if let Some(cancel) = &request.cancel {
            cancel.start_sending();
        }
        (self.0)(request)
            .map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
