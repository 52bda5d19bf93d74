//! How the rooms are put together to serve.

pub mod check;
mod files;

use std::{io, net::SocketAddr, sync::Arc};

pub use self::files::Files;
use crate::{
    admin,
    auth::{self, Authenticator},
    budget::Capacities,
    config::{self, Serve, Setting, Target, declarations, print::in_effect},
    contract::{self, Contract},
    gateway::{Gateway, IdentityClient},
    grpc::Routes,
    net::Server,
    telemetry::{LogFilter, Metrics},
    tls::{self, ServerFiles},
    upstream::{self, Upstream},
};

/// A gateway that listens but does not serve yet.
#[derive(Debug)]
pub struct App {
    server: Server,
    admin: Option<admin::Listener>,
    pages: admin::Sources,
    upstream: String,
    files: Files,
    metrics: Metrics,
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
    /// The same, of the admin listener.
    #[error(
        "the admin listener cannot listen on {address}; give another --admin-listen, or \
         off"
    )]
    ListenAdmin {
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
        let admin = match settings.admin {
            Some(address) => Some(listen_admin(address).await?),
            None => None,
        };
        let url = url_of(settings.target).await?;
        let upstream_url = url.to_string();
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
        files.register(&metrics);
        authenticator.register(&metrics);
        upstream.register(&metrics);
        let gateway = Gateway::new(
            contract,
            Arc::clone(&authenticator),
            upstream.clone(),
            settings.gateway,
        );
        let failures = gateway.failures().clone();
        let routes = Arc::new(Routes::new(gateway, descriptor_set).await?);
        routes.register(&metrics);
        let capacities = Capacities::new(&settings.budget);
        capacities.register(&metrics);
        let address = settings.listen;
        let server =
            Server::bind(address, Arc::clone(&routes), settings.net, capacities.clone())
                .await
                .map_err(|source| Error::Listen { address, source })?
                .with_tls(files.listener.clone());
        server.register(&metrics);
        // The filter of the log has a page of its own, which can change it.
        let mut settings_shown = flags.in_effect().to_vec();
        settings_shown.retain(|setting| setting.name != "log");
        let shown = files.clone();
        let pages = admin::Sources {
            lifecycle: server.lifecycle(),
            authenticator,
            upstream,
            certificates: Arc::new(move || shown.certificates()),
            capacities,
            failures,
            rpcs: Arc::new(move || routes.totals()),
            log: None,
            metrics: metrics.clone(),
            settings: settings_shown.iter().map(shown_setting).collect(),
            configuration: in_effect(&settings_shown, &declarations()).into(),
        };
        Ok(Self { server, admin, pages, upstream: upstream_url, files, metrics })
    }

    /// Lets operators change the filter of the log.
    #[must_use]
    pub fn with_log(mut self, log: LogFilter) -> Self {
        self.pages.log = Some(log);
        self
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

    /// Returns the address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Listener::local_addr)
    }

    /// Serves until `shutdown` completes and the RPCs in flight have ended. The admin
    /// listener serves for as long.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let serving = self.server.run(shutdown);
        let Some(admin) = self.admin else { return serving.await };
        tokio::select! {
            () = serving => {}
            () = admin.serve(self.pages) => unreachable!("it serves until it is dropped"),
        }
    }
}

async fn listen_admin(address: SocketAddr) -> Result<admin::Listener, Error> {
    let listener = admin::Listener::bind(address).await;
    listener.map_err(|source| Error::ListenAdmin { address, source })
}

/// Returns a setting as the admin listener shows it.
fn shown_setting(setting: &Setting) -> admin::Setting {
    admin::Setting {
        name: setting.name.clone(),
        value: setting.value.clone(),
        source: setting.source.to_string(),
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
