//! How the rooms are put together to serve.

pub mod check;

use std::{io, net::SocketAddr, sync::Arc};

use crate::{
    auth::{self, Authenticator},
    budget::Capacities,
    config::{self, Serve, Target},
    contract::{self, Contract},
    gateway::{Gateway, IdentityClient},
    grpc::Routes,
    net::Server,
    telemetry::Metrics,
    tls::{self, ClientTls, ServerFiles, ServerTls},
    upstream::{self, Upstream},
};

/// A gateway that listens but does not serve yet.
#[derive(Debug)]
pub struct App {
    server: Server,
    upstream: String,
    files: Files,
    metrics: Metrics,
}

/// The files that a gateway reads again when they change: credentials and certificates.
#[derive(Debug, Clone)]
pub struct Files {
    authenticator: Arc<Authenticator>,
    listener: Option<Arc<ServerTls>>,
    upstream: Option<Arc<ClientTls>>,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not valid.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// An RPC cannot be served as it is declared.
    #[error(transparent)]
    Contract(#[from] contract::Error),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Upstream(#[from] upstream::SetupError),
    /// The certificates of the listener cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The credentials cannot be used.
    #[error(transparent)]
    Auth(#[from] auth::settings::Error),
    /// Reflection cannot serve the descriptors.
    #[error("the descriptors cannot be served by reflection")]
    Reflection(#[from] prost_reflect::DescriptorError),
    /// The address is not free, or not of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

impl Error {
    /// Reports whether an operator must change the settings to start the gateway.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Settings(_)
                | Self::Auth(_)
                | Self::Tls(_)
                | Self::Upstream(upstream::SetupError::Tls(_))
        )
    }

    /// Reports whether a file that a setting names cannot be read or used.
    #[must_use]
    pub fn is_of_file(&self) -> bool {
        matches!(
            self,
            Self::Tls(_)
                | Self::Upstream(upstream::SetupError::Tls(tls::Error::File { .. }))
        )
    }
}

impl App {
    /// Compiles the contract, checks the flags against it and listens.
    ///
    /// # Errors
    ///
    /// If the flags or the contract are not valid, or the address is not free.
    /// Nothing has been sent to Polytomic.
    pub async fn bind(flags: &Serve, descriptor_set: &[u8]) -> Result<Self, Error> {
        let contract = Contract::compile(descriptor_set)?;
        let settings = flags.settings(&contract)?;
        let listener = settings.tls.map(ServerFiles::load).transpose()?;
        let url = url_of(settings.target).await?;
        let shown = url.to_string();
        let upstream = Upstream::new(url, &settings.upstream)?;
        let version = settings.gateway.api_version.clone();
        let look_up = IdentityClient::new(upstream.clone(), version);
        let authenticator = Authenticator::start(settings.auth, look_up).await?;
        let authenticator = Arc::new(authenticator);
        let files = Files {
            authenticator: Arc::clone(&authenticator),
            listener,
            upstream: upstream.tls().cloned(),
        };
        files.watch();
        let metrics = Metrics::new();
        authenticator.register(&metrics);
        upstream.register(&metrics);
        let gateway = Gateway::new(contract, authenticator, upstream, settings.gateway);
        let routes = Routes::new(gateway, descriptor_set).await?;
        routes.register(&metrics);
        let capacities = Capacities::new(&settings.budget);
        capacities.register(&metrics);
        let address = settings.listen;
        let server = Server::bind(address, routes, settings.net, capacities)
            .await
            .map_err(|source| Error::Listen { address, source })?
            .with_tls(files.listener.clone());
        server.register(&metrics);
        Ok(Self { server, upstream: shown, files, metrics })
    }

    /// Returns the address that the gateway listens on, with the port that it took.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Returns the URL of Polytomic, or of the sandbox.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Returns the owner of the credentials.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.files.authenticator)
    }

    /// Returns the files that can be read again.
    #[must_use]
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    /// Returns what the gateway counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Serves until `shutdown` completes and the RPCs in flight have ended.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        self.server.run(shutdown).await;
    }
}

impl Files {
    /// Reads all files again now, as on SIGHUP.
    pub async fn reload(&self) {
        self.authenticator.reload().await;
        if let Some(listener) = &self.listener {
            listener.reload().await;
        }
        if let Some(upstream) = &self.upstream {
            upstream.reload().await;
        }
    }

    /// Returns the state of each file, for people, if there is any.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let certificates = [
            self.listener.as_ref().and_then(|files| files.describe()),
            self.upstream.as_ref().and_then(|files| files.describe()),
        ];
        let states =
            [self.authenticator.describe_files()].into_iter().chain(certificates);
        let states: Vec<String> = states.flatten().collect();
        (!states.is_empty()).then(|| states.join("; "))
    }

    /// Returns the state of the certificates: of the listener, and of the way to Polytomic.
    #[must_use]
    pub fn certificates(&self) -> [Option<tls::Stats>; 2] {
        let listener = self.listener.as_ref().map(|files| files.stats());
        [listener, self.upstream.as_ref().map(|files| files.stats())]
    }

    /// Certificates are read again when they change; credentials are in any case.
    fn watch(&self) {
        if let Some(listener) = &self.listener {
            listener.watch();
        }
        if let Some(upstream) = &self.upstream {
            upstream.watch();
        }
    }
}

/// Returns the URL of Polytomic, or of a sandbox that it starts.
async fn url_of(target: Target) -> Result<upstream::BaseUrl, Error> {
    match target {
        Target::Url(url) => Ok(url),
        #[cfg(feature = "sandbox")]
        Target::Sandbox => start_sandbox().await,
    }
}

/// Starts a sandbox, which serves as long as the runtime does: a gateway that
/// drains still needs it.
#[cfg(feature = "sandbox")]
async fn start_sandbox() -> Result<upstream::BaseUrl, Error> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let sandbox = crate::sandbox::Sandbox::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    let url = sandbox.url();
    tracing::info!(%url, "the sandbox listens");
    tokio::spawn(sandbox.run(std::future::pending()));
    Ok(url.parse().expect("the URL of a socket address is one of a Polytomic"))
}
