//! The program itself, as a process.

use std::{
    net::SocketAddr,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// The longest that a test waits for a process. Only a broken one takes it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program to its end.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments, variables).output();
    timeout(PATIENCE, output).await.expect("the program does not end").unwrap()
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polytomic-gateway"));
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A gateway that runs as a process.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    written: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Process {
    /// Starts the program and waits until it says where it listens.
    pub(crate) async fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(arguments, variables);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut output = child.stdout.take().unwrap();
        let written = Arc::new(Mutex::new(String::new()));
        let (found, mut address) = watch::channel(None);
        let log = Arc::clone(&written);
        let reading = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(address) = address_in(&line) {
                    found.send_replace(Some(address));
                }
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
            let mut rest = String::new();
            output.read_to_string(&mut rest).await.unwrap();
            log.lock().unwrap().push_str(&rest);
        });
        let address = timeout(PATIENCE, address.wait_for(Option::is_some)).await;
        let address = address.expect("no address is logged").unwrap().unwrap();
        Self { child, address, written, reading }
    }

    /// Sends a signal by its name, for example `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(status.success());
    }

    /// Ends the process at once, by SIGKILL, whatever it is doing.
    pub(crate) async fn kill(mut self) {
        timeout(PATIENCE, self.child.kill()).await.expect("SIGKILL ends it").unwrap();
    }

    /// Waits until the process ends. Returns its exit code and all it wrote.
    pub(crate) async fn wait(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("the program does not end").unwrap();
        self.reading.await.unwrap();
        let written = self.written.lock().unwrap().clone();
        (status.code(), written)
    }
}

/// Finds the address in the line, text or JSON, that says where the gateway
/// listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("address")?;
    let digits = rest.trim_start_matches(['=', '"', ':']);
    digits.split([' ', '"']).next()?.parse().ok()
}
