//! The clients: processes that make calls with the gRPC library of their language.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use kit::HANG_GUARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex as AsyncMutex, oneshot},
    time::timeout,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A client for each library.
pub(crate) struct Clients([Client; 2]);

/// A gRPC library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Go,
    Python,
}

/// One call, with which the library may make several RPCs.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) library: Library,
    pub(crate) address: SocketAddr,
    /// Whether the channel has the retry policy of `retries.json`.
    pub(crate) retries: bool,
    pub(crate) request: Value,
    pub(crate) metadata: HashMap<&'static str, String>,
    pub(crate) timeout: Duration,
}

/// What a client got from its library.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) share: String,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) details: ErrorDetails,
}

/// A process that makes calls. It reads them as lines and writes their outcomes so.
struct Client {
    process: Child,
    input: AsyncMutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// An outcome, as a client writes it.
#[derive(Deserialize)]
struct Line {
    number: u64,
    code: i32,
    message: Option<String>,
    share: String,
    metadata: HashMap<String, String>,
    /// A `google.rpc.Status`, in base64.
    details: Option<String>,
}

impl Clients {
    /// Starts a client in Go and one in Python.
    pub(crate) fn start() -> Self {
        let mut go = Command::new(build("go/bin/mesh"));
        let mut python = Command::new("python");
        python
            .args(["-B", &format!("{ROOT}/tests/clients/python/mesh.py")])
            .env("PYTHONPATH", build("python"));
        Self([&mut go, &mut python].map(Client::start))
    }

    pub(crate) async fn call(&self, call: &Call) -> Reply {
        self.0[usize::from(call.library == Library::Python)].call(call).await
    }

    /// Ends the clients, which have no call left.
    pub(crate) async fn end(self) {
        for client in self.0 {
            client.end().await;
        }
    }
}

/// Returns the path of something that `.ci/run mesh` builds.
fn build(name: &str) -> String {
    let path = format!("{ROOT}/target/clients/{name}");
    assert!(Path::new(&path).exists(), "{path} is missing: use `.ci/run mesh`");
    path
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let spawned = command
            .arg(format!("{ROOT}/tests/mesh/retries.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = spawned.expect("use `.ci/run mesh`");
        let input = AsyncMutex::new(process.stdin.take().unwrap());
        let waiting = Waiting::default();
        tokio::spawn(read(process.stdout.take().unwrap(), Arc::clone(&waiting)));
        Self { process, input, waiting, next: AtomicU64::default() }
    }

    async fn call(&self, call: &Call) -> Reply {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let job = json!({
            "number": number,
            "address": call.address,
            "retries": call.retries,
            "request": call.request,
            "metadata": call.metadata,
            "seconds": call.timeout.as_secs_f64(),
        });
        let (reply, replied) = oneshot::channel();
        lock(&self.waiting).insert(number, reply);
        self.input.lock().await.write_all(format!("{job}\n").as_bytes()).await.unwrap();
        let reply = timeout(HANG_GUARD, replied).await.expect("the call never ends");
        reply.expect("the client has ended")
    }

    async fn end(self) {
        let Self { mut process, input, .. } = self;
        drop(input);
        let status = timeout(HANG_GUARD, process.wait()).await;
        assert!(status.expect("the client does not end").unwrap().success());
    }
}

/// Reads outcomes until the client ends. Calls that still wait then fail.
async fn read(output: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let line: Line = serde_json::from_str(&line).unwrap();
        let reply = lock(&waiting).remove(&line.number).expect("a call ends once");
        // The caller has gone only if the test fails.
        let _ = reply.send(Reply::from(line));
    }
    lock(&waiting).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Line> for Reply {
    fn from(line: Line) -> Self {
        let code = Code::from_i32(line.code);
        let message = line.message.unwrap_or_default();
        let details = BASE64_STANDARD.decode(line.details.unwrap_or_default()).unwrap();
        let status = Status::with_details(code, message.clone(), details.into());
        Self {
            code,
            message,
            share: line.share,
            metadata: line.metadata,
            details: status.get_error_details(),
        }
    }
}

impl Reply {
    /// Returns a value of the gateway's `ErrorInfo`, if the gateway failed the RPC.
    pub(crate) fn error(&self, name: &str) -> Option<&str> {
        let info = self.details.error_info()?;
        info.metadata.get(name).map(String::as_str)
    }

    /// Returns the reason of the error, or `None` if it is not the gateway's.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.details.error_info().map(|info| info.reason.as_str())
    }
}
