//! The `polytomic-gateway` command.

use std::{
    env::{self, VarError},
    error::Error,
    io::{self, Write},
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, error::ErrorKind};
use futures_util::future::BoxFuture;
use polytomic_gateway::{
    app::{self, App},
    auth::Authenticator,
    config::{Cli, Command, Sandbox as SandboxSettings, Serve},
    contract::DESCRIPTOR_SET,
    demo,
    sandbox::Sandbox,
    telemetry,
};
use secrecy::SecretString;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tracing::{info, warn};

/// How the process ends if it was told something that cannot be meant.
const USAGE: u8 = 2;

/// The variable that holds a partner key. Not a flag, which would show the key
/// in the list of processes.
const PARTNER_KEY: &str = "POLYTOMIC_PARTNER_KEY";

/// How long to wait for threads that are busy when all else has stopped, such as
/// one that looks up a name. A drain ends within its limit whatever they do.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if is_mistake(&error) => return usage(&first_line(&error)),
        Err(error) => error.exit(),
    };
    // What the demo does stands in its output; the log would only repeat it.
    let level = if matches!(cli.command, Command::Demo) { "warn" } else { "info" };
    let filter = cli.log.as_deref().unwrap_or(level);
    if let Err(problem) = telemetry::init(filter, cli.log_format) {
        return usage(&problem);
    }
    if let Err(error) = forbid_core_dumps() {
        warn!(%error, "a crash may write credentials to a core dump");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Serve(settings) => serve(*settings).await,
            Command::Sandbox(settings) => sandbox(settings).await,
            Command::Demo => demo::run(&mut io::stdout().lock()).await,
        }
    });
    runtime.shutdown_timeout(EXIT_LIMIT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            Some(app::Error::Usage(problem)) => usage(problem),
            _ => failed(&*error),
        },
    }
}

async fn serve(mut settings: Serve) -> Result<(), Box<dyn Error>> {
    settings.partner_key = partner_key()?;
    let signals = Signals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    let app = App::bind(&settings, DESCRIPTOR_SET).await?;
    info!(
        address = %app.local_addr(),
        upstream = app.upstream(),
        version = env!("CARGO_PKG_VERSION"),
        "the gateway listens"
    );
    tokio::spawn(reload_on_hangup(app.authenticator(), hangup));
    until_signaled(signals, |shutdown| app.run(shutdown)).await?;
    info!("the gateway has stopped");
    Ok(())
}

async fn sandbox(settings: SandboxSettings) -> Result<(), Box<dyn Error>> {
    let signals = Signals::listen()?;
    let address = settings.listen;
    let sandbox = Sandbox::bind(address)
        .await
        .map_err(|error| app::Error::Listen { address, error })?;
    info!(url = sandbox.url(), "the sandbox listens");
    until_signaled(signals, |shutdown| sandbox.run(shutdown)).await?;
    info!("the sandbox has stopped");
    Ok(())
}

/// Returns the partner key of the variable, if it has one. The error shows none
/// of it.
#[expect(
    clippy::disallowed_methods,
    reason = "a flag would show the key in the list of processes, and in --help"
)]
fn partner_key() -> Result<Option<SecretString>, app::Error> {
    match env::var(PARTNER_KEY) {
        Ok(key) => Ok(Some(key).filter(|key| !key.is_empty()).map(SecretString::from)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(app::Error::Usage(format!("{PARTNER_KEY} is not UTF-8")))
        }
    }
}

/// Keeps what is in memory, credentials among it, from being written to disk
/// when the process crashes, or read by a debugger that is not root's.
fn forbid_core_dumps() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(
        rustix::process::DumpableBehavior::NotDumpable,
    )?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}

/// Runs a server until it has drained after Ctrl-C or SIGTERM. A second signal
/// ends it at once.
async fn until_signaled<R>(
    mut signals: Signals,
    run: impl FnOnce(BoxFuture<'static, ()>) -> R,
) -> io::Result<()>
where
    R: Future<Output = io::Result<()>>,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let mut running = pin!(run(Box::pin(async {
        let _ = stopped.await;
    })));
    tokio::select! {
        ended = running.as_mut() => return ended,
        signal = signals.next() => info!(signal, "stopping; a second signal ends at once"),
    }
    drop(stop);
    tokio::select! {
        ended = running => ended,
        _ = signals.next() => Err(io::Error::other("a second signal came; nothing was waited for")),
    }
}

/// Reads the credential files again at every SIGHUP.
async fn reload_on_hangup(authenticator: Arc<Authenticator>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        authenticator.reload().await;
        info!(credentials = ?authenticator.stats(), "read the credential files again");
    }
}

/// The signals that ask a process to end.
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

/// Tells a mistake on the command line from a wish for help.
fn is_mistake(error: &clap::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Returns what is wrong, without the usage that clap adds.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let problem = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> =
        problem.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

fn usage(problem: &str) -> ExitCode {
    say(&format!("{problem}; see --help"));
    ExitCode::from(USAGE)
}

fn failed(error: &dyn Error) -> ExitCode {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    say(&line);
    ExitCode::FAILURE
}

/// Writes one line to standard error. There is nowhere to report that it fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "polytomic-gateway: {line}");
}
