//! A client that has a fixed number of RPCs in flight at all times (a closed loop), and
//! checks each response. Prints what it measured as one line of JSON.
//!
//! One wrong response ends it with an error.

#![expect(clippy::print_stdout, reason = "a process of the benchmark prints its result")]

mod client;
mod response;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::{ArgGroup, Parser};
use gateway_bench::{Error, Work, cpu_seconds, percentile};
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    sync::Notify,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use self::{client::Client, response::Expected};

#[derive(Parser)]
#[command(group(ArgGroup::new("length").required(true)))]
struct Arguments {
    /// Address of the target.
    #[arg(long)]
    address: SocketAddr,
    /// Name of an RPC and the length of its response, such as `list-100`.
    #[arg(long)]
    work: Work,
    #[arg(long)]
    connections: u32,
    /// Keys that the connections use in turn.
    #[arg(long, default_value_t = 1)]
    keys: u32,
    /// RPCs in flight on each connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Process of the target.
    #[arg(long)]
    pid: u32,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
    /// Seconds of the measurement.
    #[arg(long, group = "length")]
    seconds: Option<f64>,
    /// RPCs instead of seconds, in addition to the first of each connection.
    #[arg(long, group = "length")]
    rpcs: Option<u64>,
    /// Hold the connections without an RPC until the standard input ends.
    #[arg(long, group = "length")]
    hold: bool,
}

struct Load {
    work: Work,
    expected: Expected,
    begin: Instant,
    /// Maximum RPCs that the workers start.
    limit: u64,
    stopped: AtomicBool,
    started: AtomicU64,
    /// RPCs that have ended.
    done: AtomicU64,
    ended: Notify,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    // It takes a while for a large list, and a connection must not wait meanwhile.
    let mut expected = Expected::new(arguments.work)?;
    let mut clients = Vec::new();
    for number in 0..arguments.connections {
        let key = number % arguments.keys;
        let mut client = Client::connect(arguments.address, arguments.work, key).await?;
        // A connection without an RPC may have to make room for others.
        expected.learn(&mut client).await?;
        clients.push(client);
    }
    if arguments.hold {
        println!(r#"{{"connections":{}}}"#, clients.len());
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    let load = Arc::new(Load {
        work: arguments.work,
        expected,
        begin: Instant::now() + Duration::from_secs_f64(arguments.warm_up),
        limit: arguments.rpcs.unwrap_or(u64::MAX),
        stopped: AtomicBool::new(false),
        started: AtomicU64::new(0),
        done: AtomicU64::new(0),
        ended: Notify::new(),
    });
    let (started, cpu_before) = (Instant::now(), cpu_seconds(arguments.pid)?);
    let mut workers = JoinSet::new();
    for client in clients {
        for _ in 0..arguments.streams {
            workers.spawn(load.clone().work(client.clone()));
        }
    }
    let mut measured = None;
    if let Some(seconds) = arguments.seconds {
        measured = Some(tokio::select! {
            measured = load.measure(seconds, arguments.pid) => measured?,
            Some(failed) = workers.join_next() => return Err(ended_early(failed)),
        });
        load.stopped.store(true, Ordering::Relaxed);
    }

    let (mut latencies, mut first) = (Vec::new(), Vec::new());
    while let Some(worker) = workers.join_next().await {
        for latency in worker?? {
            latencies.push(latency.whole);
            first.push(latency.first);
        }
    }
    let measured = match measured {
        Some(measured) => measured,
        None => Measured {
            rpcs: load.done(),
            seconds: started.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(arguments.pid)? - cpu_before,
        },
    };
    latencies.sort_unstable();
    first.sort_unstable();
    let result = json!({
        "rpcs": measured.rpcs,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        // Those before the measurement included.
        "total": load.done() + u64::from(arguments.connections),
        "first": percentile(&first, 0.5),
        "p50": percentile(&latencies, 0.5),
        "p99": percentile(&latencies, 0.99),
        "p999": percentile(&latencies, 0.999),
    });
    println!("{result}");
    Ok(())
}

impl Load {
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

    /// Calls until the measurement is over, or enough RPCs have started. Returns the
    /// latencies since the warm-up.
    async fn work(self: Arc<Self>, mut client: Client) -> Result<Vec<Latency>, Error> {
        let mut latencies = Vec::new();
        loop {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit {
                return Ok(latencies);
            }
            let mut response = self.expected.start();
            let start = Instant::now();
            let mut first = None;
            let call = client.call(self.work, number, |chunk| {
                first.get_or_insert_with(|| start.elapsed());
                response.read(chunk);
            });
            call.await?;
            response.end()?;
            self.done.fetch_add(1, Ordering::Relaxed);
            self.ended.notify_one();
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(latencies);
            }
            if start >= self.begin {
                let whole = start.elapsed();
                latencies.push(Latency { first: first.unwrap_or(whole), whole });
            }
        }
    }
}

/// What the target did in the time of the measurement.
struct Measured {
    rpcs: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Times from the request to the first bytes of the first message, and to the trailers.
struct Latency {
    first: Duration,
    whole: Duration,
}

type Joined = Result<Result<Vec<Latency>, Error>, JoinError>;

/// Returns the error of a worker.
fn ended_early(worker: Joined) -> Error {
    match worker {
        Ok(Ok(_)) => "a worker ended early".into(),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}
