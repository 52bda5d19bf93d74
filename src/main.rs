//! The `polytomic-gateway` command.

use std::{
    error::Error,
    io::{self, Write},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use clap::error::ErrorKind;
use futures_util::future::BoxFuture;
use mimalloc::MiMalloc;
use polytomic_gateway::{
    admin,
    app::{
        self, App, Files,
        check::{self, check, with_causes},
    },
    config::{self, Cli, Command, HealthCheck, Serve},
    contract::DESCRIPTOR_SET,
    telemetry::{self, LogFilter, Writer},
};
#[cfg(feature = "sandbox")]
use polytomic_gateway::{demo, sandbox::Sandbox};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tracing::{info, warn};

/// docs/decisions/0012-which-allocator.md says why.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit code for settings that are not valid.
const USAGE: u8 = 2;

/// The exit code for every other failure.
const FAILURE: u8 = 1;

/// The exit codes of a check: a file that a setting names cannot be used, Polytomic
/// cannot be reached, Polytomic rejects the gateway's own key.
const UNUSABLE_FILE: u8 = 3;
const UNREACHABLE: u8 = 4;
const REJECTED_KEY: u8 = 5;

/// The wait for threads that are still busy after the drain, for example with a
/// look-up of a name. They must not make a drain longer than its limit.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// The wait for the last log lines, which a blocked standard error may never take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Ok(log) = Writer::start() else { return ExitCode::FAILURE };
    let exit_code = match run(&log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { line, exit_code }) => {
            log.add(format!("polytomic-gateway: {line}\n").as_bytes());
            ExitCode::from(exit_code)
        }
    };
    log.flush(FLUSH_LIMIT);
    exit_code
}

fn run(log: &Writer) -> Result<(), Failure> {
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(error) if is_mistake(&error) => {
            return Err(Failure::usage(&first_line(&error)));
        }
        Err(error) => error.exit(),
    };
    let filter = cli.log.as_deref().unwrap_or_else(|| default_filter(&cli.command));
    let filter = telemetry::init(filter, cli.log_format, log.clone())
        .map_err(|problem| Failure::usage(&problem))?;
    if let Err(error) = forbid_core_dumps() {
        warn!(%error, "a crash may write credentials to a core dump");
    }
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Failure::other(&error))?;
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Serve(flags) => serve(&flags, log, filter).await,
            Command::Check(flags) => {
                check(&flags, DESCRIPTOR_SET, &mut io::stdout().lock())
                    .await
                    .map_err(Into::into)
            }
            Command::Config(command) => {
                config::print::run(&command, &mut io::stdout().lock()).map_err(Into::into)
            }
            Command::HealthCheck(flags) => check_health(&flags).await,
            #[cfg(feature = "sandbox")]
            Command::Sandbox(flags) => sandbox(&flags).await,
            #[cfg(feature = "sandbox")]
            Command::Demo => demo::run(&mut io::stdout().lock()).await,
        }
    });
    runtime.shutdown_timeout(EXIT_LIMIT);
    ended.map_err(|error| match error.downcast_ref() {
        Some(problem) => Failure::of_check(problem),
        None if error.downcast_ref().is_some_and(app::Error::is_usage) => {
            Failure::usage(&error.to_string())
        }
        None => Failure::other(&*error),
    })
}

fn default_filter(command: &Command) -> &'static str {
    match command {
        // The output of the demo says the same as its log would.
        #[cfg(feature = "sandbox")]
        Command::Demo => "warn",
        Command::Check(_) | Command::Config(_) => "warn",
        _ => "info",
    }
}

async fn serve(
    flags: &Serve,
    log: &Writer,
    filter: LogFilter,
) -> Result<(), Box<dyn Error>> {
    let signals = Signals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    let app = App::bind(flags, DESCRIPTOR_SET).await?.with_log(filter);
    log.register(&app.metrics());
    info!(
        address = %app.local_addr(),
        admin = app.admin_addr().map(tracing::field::display),
        upstream = app.upstream(),
        version = env!("CARGO_PKG_VERSION"),
        "the gateway listens"
    );
    tokio::spawn(reload_on_hangup(app.files(), hangup));
    until_signaled(signals, |shutdown| app.run(shutdown)).await?;
    info!("the gateway has stopped");
    Ok(())
}

/// Asks a gateway for its health and prints the response.
async fn check_health(flags: &HealthCheck) -> Result<(), Box<dyn Error>> {
    let address = flags.address().ok_or("the admin listener is off")?;
    let path = if flags.live { "/livez" } else { "/readyz" };
    let line = admin::ask(address, path).await?;
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

#[cfg(feature = "sandbox")]
async fn sandbox(flags: &config::Sandbox) -> Result<(), Box<dyn Error>> {
    let signals = Signals::listen()?;
    let address = flags.listen;
    let sandbox = Sandbox::bind(address)
        .await
        .map_err(|source| app::Error::Listen { address, source })?;
    info!(url = sandbox.url(), "the sandbox listens");
    until_signaled(signals, |shutdown| sandbox.run(shutdown)).await?;
    info!("the sandbox has stopped");
    Ok(())
}

/// Keeps the memory of the process, which holds credentials, out of core dumps and
/// from debuggers of other users than root.
fn forbid_core_dumps() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(
        rustix::process::DumpableBehavior::NotDumpable,
    )?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}

/// Runs a server until it has drained after SIGINT or SIGTERM. A second signal
/// stops it immediately.
async fn until_signaled<R>(
    mut signals: Signals,
    run: impl FnOnce(BoxFuture<'static, ()>) -> R,
) -> io::Result<()>
where
    R: Future<Output = ()>,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let mut running = pin!(run(Box::pin(async {
        let _ = stopped.await;
    })));
    tokio::select! {
        () = running.as_mut() => return Ok(()),
        signal = signals.next() => {
            info!(signal, "shutting down; a second signal exits immediately");
        }
    }
    drop(stop);
    tokio::select! {
        () = running => Ok(()),
        _ = signals.next() => {
            Err(io::Error::other("stopped by a second signal before the drain ended"))
        }
    }
}

/// Reads the files again on every SIGHUP.
async fn reload_on_hangup(files: Files, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        files.reload().await;
        if let Some(files) = files.describe() {
            info!(files, "SIGHUP: read the files again");
        } else {
            info!("SIGHUP: there are no files to read again");
        }
    }
}

/// The signals that ask the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Reports whether an error is more than a request for help.
fn is_mistake(error: &clap::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Returns the problem without the usage that clap adds.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let problem = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> =
        problem.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

/// Why the program ends with an exit code other than 0.
struct Failure {
    line: String,
    exit_code: u8,
}

impl Failure {
    fn usage(problem: &str) -> Self {
        Self { line: format!("{problem}; see --help"), exit_code: USAGE }
    }

    fn of_check(problem: &check::Error) -> Self {
        let exit_code = match problem {
            check::Error::Start(error) if error.is_of_file() => UNUSABLE_FILE,
            check::Error::Start(error) if error.is_usage() => USAGE,
            check::Error::Start(_) | check::Error::Output(_) => FAILURE,
            check::Error::File { .. } => UNUSABLE_FILE,
            check::Error::Upstream(_) => UNREACHABLE,
            check::Error::Key(_) => REJECTED_KEY,
        };
        Self { line: with_causes(problem), exit_code }
    }

    fn other(error: &dyn Error) -> Self {
        Self { line: with_causes(error), exit_code: FAILURE }
    }
}
