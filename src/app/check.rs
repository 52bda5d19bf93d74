//! What a gateway with these settings would find: its files, Polytomic, and its key.
//! It serves nothing and takes no port, so it may run beside a gateway that does.

use std::{
    collections::BTreeSet,
    error,
    io::{self, Write},
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use super::url_of;
use crate::{
    auth::{Authenticator, FileState, Identity, Mode, Verdict},
    config::{Serve, Setting},
    contract::{Contract, KeyClass},
    gateway::IdentityClient,
    telemetry::timestamp,
    tls::{ServerFiles, Stats},
    upstream::{BaseUrl, Upstream},
};

/// What was wrong first, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A gateway would not start.
    #[error(transparent)]
    Start(#[from] super::Error),
    /// A credential file cannot be used.
    #[error("the {} file {} is not usable: {problem}", file.name, file.path.display())]
    File {
        /// The file.
        file: FileState,
        /// Why, as a clause.
        problem: String,
    },
    /// Polytomic cannot be reached.
    #[error("{0}")]
    Upstream(String),
    /// Polytomic rejects the gateway's own key.
    #[error("{0}")]
    Key(String),
    /// The report cannot be written.
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
}

/// Checks everything that a gateway needs, and writes the settings in effect and a line
/// for each check.
///
/// # Errors
///
/// The first problem in the order of the checks. Those after it are tried, too, unless
/// they depend on it.
pub async fn check(
    flags: &Serve,
    descriptor_set: &[u8],
    out: &mut impl Write,
) -> Result<(), Error> {
    let mut report = Report { out, first: None };
    report.settings(flags.in_effect())?;
    let contract = Contract::compile(descriptor_set).map_err(super::Error::from)?;
    let settings = match flags.settings(&contract) {
        Ok(settings) => settings,
        Err(error) => return report.end_with("settings", error),
    };
    let rpcs = contract.rpcs().count();
    report.passes("settings", &format!("a gateway would serve {rpcs} RPCs"))?;

    match settings.tls.map(ServerFiles::load).transpose() {
        Ok(Some(tls)) => report.certificates("listener TLS", &tls.stats())?,
        Ok(None) => {}
        Err(error) => report.fails("listener TLS", super::Error::from(error).into())?,
    }
    let url = url_of(settings.target).await?;
    let upstream = match Upstream::new(url.clone(), &settings.upstream) {
        Ok(upstream) => upstream,
        Err(error) => return report.end_with("upstream TLS", error),
    };
    if let Some(tls) = upstream.tls() {
        report.certificates("upstream TLS", &tls.stats())?;
    }
    let limit = settings.upstream.connect_timeout + settings.upstream.read_timeout;
    let version = settings.gateway.api_version;
    let client = || IdentityClient::new(upstream.clone(), version.clone()).within(limit);
    let is_passthrough = matches!(settings.auth.mode, Mode::Passthrough);
    let authenticator = Authenticator::start(settings.auth, client());
    let authenticator = authenticator.await.map_err(super::Error::from)?;

    for file in authenticator.files() {
        report.file(file)?;
    }
    report.address(&url, settings.upstream.connect_timeout).await?;
    if !report.response(&client()).await? {
        report.skips("key", "nothing responds that could be asked")?;
    } else if is_passthrough {
        report.skips(
            "key",
            "there is none in passthrough mode: each client sends its own",
        )?;
    } else if !authenticator.verifies() {
        report.skips("key", "--no-key-check is set")?;
    } else {
        let needs_partner =
            contract.rpcs().any(|rpc| rpc.options.key_class == KeyClass::Partner);
        report.key(&authenticator, needs_partner).await?;
    }
    report.end()
}

/// The lines written so far, and the first problem.
struct Report<'a, W> {
    out: &'a mut W,
    first: Option<Error>,
}

impl<W: Write> Report<'_, W> {
    fn settings(&mut self, settings: &[Setting]) -> io::Result<()> {
        for Setting { name, value, source } in settings {
            let value = value.as_deref().unwrap_or("-");
            writeln!(self.out, "{name:<28} {value:<28} {source}")?;
        }
        writeln!(self.out)
    }

    fn certificates(&mut self, subject: &str, stats: &Stats) -> io::Result<()> {
        let files: Vec<_> = stats
            .first_to_expire()
            .iter()
            .map(|one| format!("{} until {}", one.flag, timestamp(one.not_after)))
            .collect();
        if files.is_empty() {
            return self.passes(subject, "the system's authorities are loaded");
        }
        self.passes(subject, &files.join(", "))
    }

    fn file(&mut self, mut file: FileState) -> io::Result<()> {
        let subject = file.name;
        match file.problem.take() {
            None => self.passes(subject, &format!("read from {}", file.path.display())),
            Some(problem) => self.fails(subject, Error::File { file, problem }),
        }
    }

    /// Resolves the host of Polytomic.
    async fn address(&mut self, url: &BaseUrl, limit: Duration) -> io::Result<()> {
        let host = url.host();
        let problem = match timeout(limit, lookup_host((host, url.port()))).await {
            Ok(Ok(found)) => {
                let found: BTreeSet<_> =
                    found.map(|found| found.ip().to_string()).collect();
                let found = Vec::from_iter(found).join(", ");
                return self.passes("address", &format!("{host} is {found}"));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("none was found within {limit:?}"),
        };
        let text = format!("the host {host} of --upstream-url has no address: {problem}");
        self.fails("address", Error::Upstream(text))
    }

    /// Connects to Polytomic and sends a request. Returns whether Polytomic responds.
    async fn response(&mut self, client: &IdentityClient) -> io::Result<bool> {
        let problem = match client.reach().await {
            Ok(response)
                if response.is_foreign()
                    || response.status().is_redirection()
                    || response.status().is_server_error() =>
            {
                format!("GET /api/me: {response}")
            }
            Ok(response) => {
                let text = format!("GET /api/me without a key: {response}");
                return self.passes("response", &text).map(|()| true);
            }
            Err(error) => with_causes(&error),
        };
        self.fails("response", Error::Upstream(problem)).map(|()| false)
    }

    /// Asks Polytomic whose key the gateway has.
    async fn key(
        &mut self,
        authenticator: &Authenticator,
        needs_partner: bool,
    ) -> io::Result<()> {
        match authenticator.look_up_own_key().await {
            None => self.skips("key", "there is no usable one"),
            Some(Ok(Verdict::Known(owner))) if needs_partner && owner.is_no_partner() => {
                let text = format!(
                    "Polytomic knows the key as one of class {}, but the RPCs need a \
                     partner key",
                    owner.class
                );
                self.fails("key", Error::Key(text))
            }
            Some(Ok(Verdict::Known(owner))) => self.passes("key", &describe(&owner)),
            Some(Ok(Verdict::Unknown)) => {
                let text = "Polytomic does not know the partner key (401 to GET /api/me)";
                self.fails("key", Error::Key(text.to_owned()))
            }
            Some(Err(error)) => {
                let text = format!("GET /api/me: {}", with_causes(error.cause()));
                self.fails("key", Error::Upstream(text))
            }
        }
    }

    fn passes(&mut self, subject: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "ok       {subject:<14} {text}")
    }

    fn skips(&mut self, subject: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "skipped  {subject:<14} {text}")
    }

    fn fails(&mut self, subject: &str, error: Error) -> io::Result<()> {
        writeln!(self.out, "failed   {subject:<14} {error}")?;
        self.first.get_or_insert(error);
        Ok(())
    }

    /// Ends with a problem that the checks after it depend on.
    fn end_with(
        mut self,
        subject: &str,
        error: impl Into<super::Error>,
    ) -> Result<(), Error> {
        self.fails(subject, error.into().into())?;
        self.end()
    }

    fn end(self) -> Result<(), Error> {
        self.first.map_or(Ok(()), Err)
    }
}

fn describe(owner: &Identity) -> String {
    let name = owner.organization_name.as_deref().unwrap_or("an unnamed organization");
    format!("Polytomic knows it: class {}, of {name}", owner.class)
}

/// Returns the text of an error with those of its causes.
#[must_use]
pub fn with_causes(error: &dyn error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
