//! Standard error that takes no lines: RPCs and signals go on as if it did.

use std::{
    fs::OpenOptions,
    io::{Read, pipe},
    net::{SocketAddr, TcpListener},
    process::{ExitStatus, Stdio},
};

use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use kit::{Caller, HANG_GUARD, process::command};

/// More lines than a pipe holds.
const RPCS: usize = 1000;

/// A gateway on the sandbox whose log cannot tell its address.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    async fn start(flags: &[&str], stderr: impl Into<Stdio>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let listen = address.to_string();
        let arguments = ["serve", "--sandbox", "--listen", &listen];
        let mut command = command(&[&arguments[..], flags].concat(), &[]);
        let child = command.stderr(stderr).spawn().unwrap();
        let process = Self { child, address };
        let listens = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG_GUARD, listens).await.expect("the gateway does not listen");
        process
    }

    /// Runs RPCs, and fails unless each succeeds.
    async fn serve_rpcs(&self) {
        let address = self.address;
        let mut clients = JoinSet::new();
        for _ in 0..10 {
            clients.spawn(async move {
                for _ in 0..RPCS / 10 {
                    assert_eq!(Caller::list(address).send().await.code(), Code::Ok);
                }
            });
        }
        timeout(HANG_GUARD, clients.join_all()).await.expect("RPCs hang");
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(status.success());
    }

    async fn wait(mut self) -> ExitStatus {
        let ended = timeout(HANG_GUARD, self.child.wait()).await;
        ended.expect("SIGTERM does not end the gateway").unwrap()
    }
}

#[tokio::test]
async fn gateway_serves_and_drains_while_standard_error_is_a_closed_pipe() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let process = Process::start(&[], writer).await;
    process.serve_rpcs().await;
    process.signal("TERM").await;
    assert_eq!(process.wait().await.code(), Some(0));
}

#[tokio::test]
async fn gateway_serves_and_drains_while_standard_error_is_a_full_disk() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let process = Process::start(&[], full).await;
    process.serve_rpcs().await;
    process.signal("TERM").await;
    assert_eq!(process.wait().await.code(), Some(0));
}

#[tokio::test]
async fn gateway_serves_and_drains_while_nobody_reads_its_log() {
    let (_reader, writer) = pipe().unwrap();
    let process = Process::start(&[], writer).await;
    process.serve_rpcs().await;
    process.signal("TERM").await;
    assert_eq!(process.wait().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_ends_a_gateway_whose_log_nobody_reads() {
    let (_reader, writer) = pipe().unwrap();
    let process = Process::start(&["--lame-duck", "3600"], writer).await;
    process.serve_rpcs().await;
    process.signal("TERM").await;
    // Signals of one kind that arrive together count as one.
    process.signal("INT").await;
    assert_eq!(process.wait().await.code(), Some(1));
}

#[tokio::test]
async fn dropped_lines_are_counted_in_the_log_once_it_is_read_again() {
    let (mut reader, writer) = pipe().unwrap();
    let flags = ["--log", "trace", "--log-format", "json"];
    let process = Process::start(&flags, writer).await;
    process.serve_rpcs().await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        log
    });
    process.serve_rpcs().await;
    process.signal("TERM").await;
    assert_eq!(process.wait().await.code(), Some(0));
    let log = timeout(HANG_GUARD, reading).await.expect("the log does not end").unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dropped = |line: &&serde_json::Value| line["message"] == "log lines dropped";
    let report = lines.iter().find(dropped).expect("no line counts the dropped ones");
    assert!(report["count"].as_u64().unwrap() > 0, "{report}");
    let last = lines.last().unwrap();
    assert_eq!(last["message"], "the gateway has stopped", "{last}");
}
