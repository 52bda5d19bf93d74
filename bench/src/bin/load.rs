//! A client that has a fixed number of RPCs in flight at all times (a closed loop), and
//! checks each response. Prints what it measured as one line of JSON.
//!
//! One wrong response ends it with an error.

#![expect(clippy::print_stdout, reason = "a process of the benchmark prints its result")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use gateway_bench::{Error, Work, cpu_seconds, normalised, percentile};
use h2::client::SendRequest;
use http::{HeaderValue, Request, header::CONTENT_TYPE};
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::Notify,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

/// The bytes of the flag and the length in front of a message.
const FRAME: usize = 5;

/// Large enough that no target waits for the client to take a response.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;

#[derive(Parser)]
struct Arguments {
    /// Address of the target.
    #[arg(long)]
    address: SocketAddr,
    /// `create`, or a list as `list-100`.
    #[arg(long)]
    work: Work,
    #[arg(long)]
    connections: usize,
    /// RPCs in flight on each connection.
    #[arg(long)]
    streams: usize,
    /// Seconds before the measurement, and of it.
    #[arg(long)]
    warm_up: f64,
    #[arg(long)]
    seconds: f64,
    /// Process of the target.
    #[arg(long)]
    pid: u32,
}

struct Load {
    work: Work,
    path: String,
    request: Bytes,
    /// The response, to compare the first of each connection with.
    response: DynamicMessage,
    /// The length of each response with its frame, and its first bytes: the frame, and
    /// the tag and the length of the first field.
    length: usize,
    first: Bytes,
    begin: Instant,
    stopped: AtomicBool,
    /// RPCs that have ended. Each create takes its key from it.
    done: AtomicU64,
    ended: Notify,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    // It takes a while for a large list, and a connection must not wait meanwhile.
    let mut load = Load::new(&arguments)?;
    let mut clients = Vec::new();
    for _ in 0..arguments.connections {
        clients.push(connect(arguments.address).await?);
    }
    for client in &clients {
        load.learn(client).await?;
    }
    load.begin = Instant::now() + Duration::from_secs_f64(arguments.warm_up);
    let load = Arc::new(load);
    let mut workers = JoinSet::new();
    for client in clients {
        for _ in 0..arguments.streams {
            workers.spawn(load.clone().work(client.clone()));
        }
    }
    let measured = tokio::select! {
        measured = load.measure(arguments.seconds, arguments.pid) => measured?,
        Some(failed) = workers.join_next() => return Err(ended_early(failed)),
    };
    load.stopped.store(true, Ordering::Relaxed);

    let mut latencies = Vec::new();
    while let Some(worker) = workers.join_next().await {
        latencies.append(&mut worker??);
    }
    latencies.sort_unstable();
    let result = json!({
        "rpcs": measured.rpcs,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        // Those before the measurement included.
        "total": load.done(),
        "p50": percentile(&latencies, 0.5),
        "p99": percentile(&latencies, 0.99),
        "p999": percentile(&latencies, 0.999),
    });
    println!("{result}");
    Ok(())
}

/// Opens a connection, and awaits the settings of the target.
async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Load {
    fn new(arguments: &Arguments) -> Result<Self, Error> {
        let work = arguments.work;
        Ok(Self {
            work,
            path: format!("http://{}{}", arguments.address, work.path()),
            request: frame(&work.request())?,
            response: work.response()?,
            length: 0,
            first: Bytes::new(),
            begin: Instant::now(),
            stopped: AtomicBool::new(false),
            ended: Notify::new(),
            done: AtomicU64::new(0),
        })
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Measures for some seconds from the end of the warm-up. A slow target gets the
    /// time for one RPC.
    async fn measure(&self, seconds: f64, pid: u32) -> Result<Measured, Error> {
        sleep_until(self.begin).await;
        let (begin, cpu_before, done) = (Instant::now(), cpu_seconds(pid)?, self.done());
        sleep_until(begin + Duration::from_secs_f64(seconds)).await;
        while self.done() == done {
            self.ended.notified().await;
        }
        Ok(Measured {
            rpcs: self.done() - done,
            seconds: begin.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(pid)? - cpu_before,
        })
    }

    /// Calls until the measurement is over. Returns the latencies in its time.
    async fn work(
        self: Arc<Self>,
        client: SendRequest<Bytes>,
    ) -> Result<Vec<Duration>, Error> {
        let mut client = client.ready().await?;
        let mut latencies = Vec::new();
        loop {
            let start = Instant::now();
            let response = self.call(&mut client, |_| ()).await?;
            if response.length != self.length || !response.starts_right {
                return Err(format!("a wrong response: {response:?}").into());
            }
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(latencies);
            }
            if start >= self.begin {
                latencies.push(start.elapsed());
            }
        }
    }

    /// Calls once, and compares the response with the one that must come. All others
    /// must begin in the same way and have its length.
    async fn learn(&mut self, client: &SendRequest<Bytes>) -> Result<(), Error> {
        let mut client = client.clone().ready().await?;
        let mut body = Vec::new();
        self.call(&mut client, |chunk| body.extend_from_slice(chunk)).await?;
        let message = body.get(FRAME..).ok_or("the response has no message")?;
        let response = DynamicMessage::decode(self.response.descriptor(), message)?;
        let response = normalised(&response)?;
        if response != self.response {
            let expected = &self.response;
            return Err(format!("the response is\n{response}\nnot\n{expected}").into());
        }
        // The tag of the only field, and its length or that of its first element.
        let varint = message[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        self.length = body.len();
        body.truncate(FRAME + 1 + varint);
        self.first = body.into();
        Ok(())
    }

    async fn call(
        &self,
        client: &mut SendRequest<Bytes>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Checked, Error> {
        let mut request = Request::post(&self.path)
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "20S")
            .header("authorization", "Bearer 8e5dcfdd-d23d-4e6f-a136-119e1254847b")
            .body(())?;
        if self.work == Work::Create {
            // Two workers may use the same one: the stub does not look.
            let key = HeaderValue::try_from(format!("share-{:016}", self.done()))?;
            request.headers_mut().insert("idempotency-key", key);
        }
        std::future::poll_fn(|context| client.poll_ready(context)).await?;
        let (response, mut stream) = client.send_request(request, false)?;
        stream.send_data(self.request.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut checked = Checked { length: 0, starts_right: true };
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            checked.starts_right &= self.continues(checked.length, &chunk);
            checked.length += chunk.len();
            each(&chunk);
        }
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        if trailers.get("grpc-status").is_none_or(|status| status != "0") {
            return Err(format!("HTTP {}, {trailers:?}", head.status).into());
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        self.ended.notify_one();
        Ok(checked)
    }

    /// Reports whether a chunk of a response that begins at an offset may be right.
    fn continues(&self, offset: usize, chunk: &[u8]) -> bool {
        let rest = &self.first[offset.min(self.first.len())..];
        let length = rest.len().min(chunk.len());
        rest[..length] == chunk[..length]
    }
}

/// What the target did in the time of the measurement.
struct Measured {
    rpcs: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// What was seen of a response.
#[derive(Debug)]
struct Checked {
    length: usize,
    starts_right: bool,
}

type Joined = Result<Result<Vec<Duration>, Error>, JoinError>;

/// Returns the error of a worker.
fn ended_early(worker: Joined) -> Error {
    match worker {
        Ok(Ok(_)) => "a worker ended early".into(),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

fn frame(message: &[u8]) -> Result<Bytes, Error> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len())?);
    frame.put(message);
    Ok(frame.freeze())
}
