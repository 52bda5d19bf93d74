//! How the rooms are put together to serve.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::{
    auth::{self, Authenticator, KeySource, Mode},
    budget::{self, Capacities},
    config::{AuthMode, Serve},
    contract::{self, Contract},
    gateway::{self, Gateway, Timeouts},
    grpc::Routes,
    net::{self, Server},
    sandbox::{self, Sandbox},
    upstream::{self, BaseUrl, Upstream},
};

/// Where Polytomic serves everyone.
const POLYTOMIC: &str = "https://app.polytomic.com";

/// How long balancers are given to take note, by default: Kubernetes and its
/// proxies need a few seconds.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// A gateway that listens but does not serve yet, and its sandbox if it has one.
#[derive(Debug)]
pub struct App {
    server: Server,
    upstream: String,
    authenticator: Arc<Authenticator>,
    sandbox: Option<Sandbox>,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// An RPC cannot be served as it is declared.
    #[error(transparent)]
    Contract(#[from] contract::Error),
    /// The descriptors cannot be served by reflection.
    #[error("the descriptors cannot be served by reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// There can be no HTTP client.
    #[error(transparent)]
    Upstream(#[from] upstream::SetupError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl App {
    /// Checks the settings, compiles the contract and listens.
    ///
    /// # Errors
    ///
    /// If anything is wrong with the settings or the contract, or the address
    /// is taken. Nothing has been sent to Polytomic.
    pub async fn bind(settings: &Serve, descriptor_set: &[u8]) -> Result<Self, Error> {
        let contract = Contract::compile(descriptor_set)?;
        let timeouts = timeouts(settings, &contract)?;
        let sandbox = match (settings.sandbox, &settings.upstream_url) {
            (true, Some(_)) => {
                return Err(Error::Usage(
                    "both --sandbox and --upstream-url (or their variables) are given; \
                     leave one out"
                        .to_owned(),
                ));
            }
            (true, None) => Some(bind_sandbox().await?),
            (false, _) => None,
        };
        let url = match (&sandbox, &settings.upstream_url) {
            (Some(sandbox), _) => sandbox.url(),
            (None, Some(url)) => url.clone(),
            (None, None) => POLYTOMIC.to_owned(),
        };
        let url = upstream_url(&url, settings.allow_plaintext_upstream)?;

        let shown = url.to_string();
        let auth = auth_settings(settings, &url)?;
        auth.check(settings.listen).map_err(|error| Error::Usage(error.to_string()))?;
        let upstream = upstream(url, settings)?;
        let authenticator = Authenticator::start(auth, upstream.clone())
            .await
            .map_err(|error| Error::Usage(error.to_string()))?;
        let authenticator = Arc::new(authenticator);
        let gateway = Gateway::new(
            contract,
            Arc::clone(&authenticator),
            upstream,
            gateway::Settings {
                api_version: HeaderValue::try_from(&settings.api_version).map_err(
                    |_| Error::Usage("--api-version is not visible ASCII".into()),
                )?,
                timeouts,
                attempt_timeout: settings.attempt_timeout,
                attempts: settings.attempts,
            },
        );
        let routes = Routes::new(gateway, descriptor_set).await?;
        let server = {
            let capacities = Capacities::new(&budget_settings(settings)?);
            Server::bind(settings.listen, routes, net_settings(settings), capacities)
                .await
        }
        .map_err(|error| Error::Listen { address: settings.listen, error })?;
        Ok(Self { server, upstream: shown, authenticator, sandbox })
    }

    /// Returns the address that is listened on, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Returns the URL of Polytomic, or of the sandbox.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Returns what holds the credentials, to have their files read again.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    /// Returns what looks at the sandbox, if there is one.
    #[must_use]
    pub fn sandbox(&self) -> Option<sandbox::Handle> {
        self.sandbox.as_ref().map(Sandbox::handle)
    }

    /// Serves until `shutdown` completes and the RPCs in flight have ended.
    ///
    /// # Errors
    ///
    /// If the sandbox fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Some(sandbox) = self.sandbox else {
            self.server.run(shutdown).await;
            return Ok(());
        };
        // The sandbox outlives the gateway's drain, which may still need it.
        let (stop, stopped) = oneshot::channel::<()>();
        let url = sandbox.url();
        let sandbox = tokio::spawn(sandbox.run(async {
            let _ = stopped.await;
        }));
        info!(%url, "the sandbox listens");
        self.server.run(shutdown).await;
        drop(stop);
        sandbox.await.map_err(io::Error::other)?
    }
}

async fn bind_sandbox() -> Result<Sandbox, Error> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    Sandbox::bind(address).await.map_err(|error| Error::Listen { address, error })
}

fn net_settings(settings: &Serve) -> net::Settings {
    net::Settings {
        lame_duck: settings.lame_duck.unwrap_or(if settings.sandbox {
            Duration::ZERO
        } else {
            LAME_DUCK
        }),
        drain_limit: settings.drain_limit,
        max_connection_age: settings.max_connection_age,
        max_connection_age_grace: settings.max_connection_age_grace,
        max_connection_idle: settings.max_connection_idle,
        handshake_timeout: settings.handshake_timeout,
        write_timeout: settings.write_timeout,
    }
}

fn budget_settings(settings: &Serve) -> Result<budget::Settings, Error> {
    let limits = budget::Settings {
        response_memory: settings.answer_memory,
        max_in_flight: settings.max_in_flight,
        max_connections: settings.max_connections,
    };
    let largest = limits.largest_answer();
    if largest < settings.answer_limit {
        return Err(Error::Usage(format!(
            "--answer-memory has room for answers of {largest} bytes, and --answer-limit allows \
             more; raise the one or lower the other"
        )));
    }
    Ok(limits)
}

fn timeouts(settings: &Serve, contract: &Contract) -> Result<Timeouts, Error> {
    let mut timeouts = Timeouts::new(settings.timeout);
    for own in &settings.rpc_timeout {
        timeouts
            .set(contract, &own.rpc, own.timeout)
            .map_err(|problem| Error::Usage(format!("--rpc-timeout: {problem}")))?;
    }
    Ok(timeouts)
}

fn upstream_url(text: &str, allow_plaintext: bool) -> Result<BaseUrl, Error> {
    let url: BaseUrl = text.parse().map_err(|problem| {
        Error::Usage(format!("--upstream-url is not valid: {problem}"))
    })?;
    if url.is_plaintext() && !allow_plaintext {
        return Err(Error::Usage(
            "--upstream-url is http, which would send keys unencrypted; use https, or give \
             --allow-plaintext-upstream if something on the way encrypts"
                .to_owned(),
        ));
    }
    Ok(url)
}

fn upstream(url: BaseUrl, settings: &Serve) -> Result<Upstream, Error> {
    Upstream::new(url, &upstream_settings(settings)?).map_err(|error| {
        match (error, &settings.upstream_ca_file) {
            (upstream::SetupError::Authorities(problem), Some(file)) => {
                let file = file.display();
                Error::Usage(format!(
                    "--upstream-ca-file {file} cannot be used: {problem}"
                ))
            }
            (error, _) => error.into(),
        }
    })
}

fn upstream_settings(settings: &Serve) -> Result<upstream::Settings, Error> {
    let read = |file: &PathBuf| {
        fs::read(file).map_err(|error| {
            let file = file.display();
            Error::Usage(format!("--upstream-ca-file {file} cannot be read: {error}"))
        })
    };
    Ok(upstream::Settings {
        answer_limit: settings.answer_limit,
        connect_timeout: settings.connect_timeout,
        read_timeout: settings.read_timeout,
        authorities: settings.upstream_ca_file.as_ref().map(read).transpose()?,
    })
}

fn auth_settings(settings: &Serve, url: &BaseUrl) -> Result<auth::Settings, Error> {
    if settings.auth_mode == AuthMode::Passthrough && settings.partner_key.is_some() {
        warn!("POLYTOMIC_PARTNER_KEY is set but not used: --auth-mode is passthrough");
    }
    let mode = match (
        settings.auth_mode,
        &settings.partner_key_file,
        &settings.partner_key,
    ) {
        (AuthMode::Passthrough, None, _) if settings.caller_token_file.is_none() => {
            Mode::Passthrough
        }
        (AuthMode::Passthrough, ..) => {
            return Err(Error::Usage(
                "--partner-key-file and --caller-token-file are for --auth-mode static; give \
                 that too, or leave them out"
                    .to_owned(),
            ));
        }
        (AuthMode::Static, Some(_), Some(_)) => {
            return Err(Error::Usage(
                "both --partner-key-file and POLYTOMIC_PARTNER_KEY give a partner key; leave \
                 one out"
                    .to_owned(),
            ));
        }
        (AuthMode::Static, None, None) => {
            return Err(Error::Usage(
                "--auth-mode static needs a partner key; give --partner-key-file or set \
                 POLYTOMIC_PARTNER_KEY"
                    .to_owned(),
            ));
        }
        (AuthMode::Static, Some(file), None) => Mode::Static {
            key: KeySource::File(file.clone()),
            caller_token: settings.caller_token_file.clone(),
        },
        (AuthMode::Static, None, Some(key)) => Mode::Static {
            key: KeySource::Value(key.clone()),
            caller_token: settings.caller_token_file.clone(),
        },
    };
    let mut auth = auth::Settings::new(mode, url.to_string(), &settings.api_version);
    auth.verify = !settings.no_key_check;
    // While `/api/me` hangs, every RPC with a new key waits this long.
    auth.lookup_timeout = Duration::from_secs(1);
    Ok(auth)
}
