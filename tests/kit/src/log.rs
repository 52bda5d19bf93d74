//! What the gateway logs while a test runs.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::task::yield_now;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The log of this thread: of a test and its gateway.
pub struct Log {
    written: Written,
    _guard: DefaultGuard,
}

impl Log {
    /// Records log lines from now on.
    pub fn keep() -> Self {
        // Without a global subscriber, tracing may cache from other tests that no
        // subscriber is interested. Another test may have set it before.
        let everywhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
        let _ = tracing::subscriber::set_global_default(everywhere);
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(written.clone())
            .finish();
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns the lines about RPCs so far.
    pub fn rpcs(&self) -> Vec<Value> {
        self.lines(|line| line["target"] == "rpc")
    }

    /// Returns the lines with this message so far.
    pub fn events(&self, message: &str) -> Vec<Value> {
        self.lines(|line| line["message"] == message)
    }

    /// Returns the lines so far.
    pub fn all(&self) -> Vec<Value> {
        self.lines(|_| true)
    }

    fn lines(&self, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let bytes = self.written.0.lock().unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .filter(is_wanted)
            .collect()
    }

    /// Waits for the first line about an RPC.
    pub async fn rpc(&self) -> Value {
        loop {
            if let Some(line) = self.rpcs().into_iter().next() {
                return line;
            }
            yield_now().await;
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
