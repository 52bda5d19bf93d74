//! The program as a process.

use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::HANG_GUARD;

/// Returns the path of the program. Cargo builds it in the directory above that of
/// the tests.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("polytomic-gateway");
    assert!(program.exists(), "cargo has not built {}", program.display());
    program
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run_command(command(arguments, variables)).await
}

/// Runs a command to its end.
pub async fn run_command(mut command: Command) -> Output {
    let output = command.output();
    timeout(HANG_GUARD, output).await.expect("the program does not end").unwrap()
}

/// The variable of the flag `--admin-listen`.
const ADMIN_LISTEN: &str = "POLYTOMIC_GATEWAY_ADMIN_LISTEN";

/// Returns the command that starts the program, without an admin listener unless a flag
/// or a variable asks for one: gateways that run together would compete for its port.
pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env(ADMIN_LISTEN, "off")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Returns the command that starts the program with at most `most` file descriptors.
pub fn command_with_descriptors(most: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")])
        .arg(program())
        .args(arguments)
        .env(ADMIN_LISTEN, "off")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A gateway that runs as a process.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    log: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl Process {
    /// Starts the program and waits until it logs its address.
    pub async fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(command(arguments, variables)).await
    }

    /// Starts a command and waits until it logs its address.
    pub async fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut output = child.stdout.take().unwrap();
        let (written, mut log) = watch::channel(String::new());
        let reading = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                written.send_modify(|log| {
                    log.push_str(&line);
                    log.push('\n');
                });
            }
            let mut rest = String::new();
            output.read_to_string(&mut rest).await.unwrap();
            written.send_modify(|log| log.push_str(&rest));
        });
        let address = |log: &str| log.lines().find_map(address_in);
        let started =
            timeout(HANG_GUARD, log.wait_for(|log| address(log).is_some())).await;
        let address = address(&started.expect("no address is logged").unwrap()).unwrap();
        Self { child, address, log, reading }
    }

    /// Returns the address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("the gateway listens")).unwrap();
        let (_, rest) = line.split_once("admin").expect("the admin listener is off");
        address_in(&format!("address{rest}")).unwrap()
    }

    /// Waits until the log contains a text `lines` times.
    pub async fn logs(&self, text: &str, lines: usize) {
        let mut log = self.log.clone();
        let has = |log: &String| log.matches(text).count() >= lines;
        let logged = timeout(HANG_GUARD, log.wait_for(has)).await;
        logged.unwrap_or_else(|_| panic!("not logged: {text}")).unwrap();
    }

    /// Returns what it has logged so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Sends a signal by its name, for example `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
        assert!(status.success());
    }

    /// Returns the most bytes of memory that it has had, if the system reports it.
    pub fn peak_memory(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// Returns the bytes of memory that it has, if the system reports it.
    pub fn resident_memory(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: u64 = line.split_whitespace().next()?.parse().unwrap();
        Some(kib * 1024)
    }

    /// Returns the processor time that it has used, if the system reports it.
    pub fn processor_time(&self) -> Option<Duration> {
        let path = format!("/proc/{}/stat", self.child.id().unwrap());
        let stat = std::fs::read_to_string(path).ok()?;
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
        // In user mode and in the system, in hundredths of a second.
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Some(Duration::from_millis(10 * ticks.sum::<u64>()))
    }

    /// Ends the process immediately, by SIGKILL.
    pub async fn kill(mut self) {
        timeout(HANG_GUARD, self.child.kill()).await.expect("SIGKILL ends it").unwrap();
    }

    /// Waits until the process ends. Returns its exit code and its output.
    pub async fn wait(mut self) -> (Option<i32>, String) {
        let status = timeout(HANG_GUARD, self.child.wait()).await;
        let status = status.expect("the program does not end").unwrap();
        self.reading.await.unwrap();
        let written = self.log.borrow().clone();
        (status.code(), written)
    }
}

/// Finds the address in the line, text or JSON, that the gateway logs when it
/// listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("address")?;
    let digits = rest.trim_start_matches(['=', '"', ':']);
    digits.split([' ', '"']).next()?.parse().ok()
}
