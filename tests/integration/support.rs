//! What every test needs: a gateway, a caller, and an upstream to look into.

pub(crate) mod caller;
pub(crate) mod fake;
pub(crate) mod frames;
pub(crate) mod held;
pub(crate) mod http2;
pub(crate) mod log;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use polytomic_gateway::{
    app::App,
    auth::Authenticator,
    config::{Cli, Command, Serve},
    contract::DESCRIPTOR_SET,
    sandbox::{self, Sandbox},
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
    time::timeout,
};
use tonic::transport::Channel;

pub(crate) use self::{caller::Caller, fake::Fake};

/// A gateway that serves until the test ends.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    sandbox: Option<sandbox::Handle>,
    authenticator: Arc<Authenticator>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway on its own sandbox.
    pub(crate) async fn on_sandbox() -> Self {
        Self::on_sandbox_with(&["--no-key-check"]).await
    }

    /// Starts a gateway on its own sandbox, with further flags.
    pub(crate) async fn on_sandbox_with(flags: &[&str]) -> Self {
        let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (handle, url) = (sandbox.handle(), sandbox.url());
        tokio::spawn(sandbox.run(std::future::pending()));
        let flags = [&["--upstream-url", &url], flags].concat();
        let gateway = Self::start(settings(&flags), DESCRIPTOR_SET).await;
        Self { sandbox: Some(handle), ..gateway }
    }

    /// Starts a gateway on a fake upstream.
    pub(crate) async fn on(fake: &Fake) -> Self {
        Self::with(fake, &[]).await
    }

    /// Starts a gateway on a fake upstream, with further flags.
    pub(crate) async fn with(fake: &Fake, flags: &[&str]) -> Self {
        Self::at(&fake.url(), flags).await
    }

    /// Starts a gateway on any upstream, with further flags.
    pub(crate) async fn at(url: &str, flags: &[&str]) -> Self {
        let flags: Vec<&str> = ["--upstream-url", url, "--no-key-check"]
            .iter()
            .chain(flags)
            .copied()
            .collect();
        Self::start(settings(&flags), DESCRIPTOR_SET).await
    }

    /// Starts a gateway of any kind.
    pub(crate) async fn start(settings: Serve, descriptor_set: &[u8]) -> Self {
        let app = App::bind(&settings, descriptor_set).await.unwrap();
        let address = app.local_addr();
        let authenticator = app.authenticator();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, sandbox: None, authenticator, stop, running }
    }

    /// Connects a generated client.
    pub(crate) async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    /// Returns what looks into the sandbox.
    pub(crate) fn sandbox(&self) -> &sandbox::Handle {
        self.sandbox.as_ref().unwrap()
    }

    /// Has the credential files read again, as SIGHUP does.
    pub(crate) async fn reload(&self) {
        self.authenticator.reload().await;
    }

    /// Stops the gateway and waits until it has drained.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }
}

/// Returns the settings that a command line with these flags gives, on a free
/// port, and without the wait for balancers unless it is asked for.
pub(crate) fn settings(flags: &[&str]) -> Serve {
    let mut command = vec!["polytomic-gateway", "serve", "--listen", "127.0.0.1:0"];
    command.extend(flags);
    if !flags.contains(&"--lame-duck") {
        command.extend(["--lame-duck", "0"]);
    }
    match Cli::try_parse_from(command).unwrap().command {
        Command::Serve(settings) => *settings,
        other => panic!("not serve: {other:?}"),
    }
}

/// Waits until something holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), holds).await.unwrap();
}
