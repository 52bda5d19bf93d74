//! A gateway in the process of the test.

use std::net::SocketAddr;

use polytomic_gateway::{
    app::{App, Files},
    config::{Cli, Command, Serve},
    contract::DESCRIPTOR_SET,
    sandbox::{self, Sandbox},
    telemetry::Metrics,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::transport::Channel;

use crate::{Fake, Origin, Protocol, front::Front, metrics::values, until};

/// A gateway that serves until the test ends.
pub struct Gateway {
    pub address: SocketAddr,
    admin: Option<SocketAddr>,
    sandbox: Option<sandbox::Handle>,
    files: Files,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway on its own sandbox.
    pub async fn on_sandbox() -> Self {
        Self::on_sandbox_with(&["--no-key-check"]).await
    }

    /// Starts a gateway on its own sandbox, with further flags.
    pub async fn on_sandbox_with(flags: &[&str]) -> Self {
        Self::on_sandbox_over(Protocol::Http1, flags).await
    }

    /// Starts a gateway on a sandbox that it reaches by this protocol.
    pub async fn on_sandbox_over(protocol: Protocol, flags: &[&str]) -> Self {
        let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (handle, url) = (sandbox.handle(), sandbox.url());
        tokio::spawn(sandbox.run(std::future::pending()));
        let front;
        let upstream = match protocol {
            Protocol::Http1 => vec!["--upstream-url", &*url],
            Protocol::Http2 => {
                front = Front::start(url.clone()).await;
                front.flags().to_vec()
            }
        };
        let settings = settings(&[&upstream, flags].concat());
        let gateway = Self::start(settings, DESCRIPTOR_SET).await;
        Self { sandbox: Some(handle), ..gateway }
    }

    /// Starts a gateway on a fake upstream.
    pub async fn on(fake: &Fake) -> Self {
        Self::with(fake, &[]).await
    }

    /// Starts a gateway on a fake upstream, with further flags.
    pub async fn with(fake: &Fake, flags: &[&str]) -> Self {
        let flags = [&fake.flags()[..], &["--no-key-check"], flags].concat();
        Self::start(settings(&flags), DESCRIPTOR_SET).await
    }

    /// Starts a gateway on a fake upstream that also gets the look-ups of keys.
    pub async fn checking_keys_on(fake: &Fake, flags: &[&str]) -> Self {
        let flags = [&fake.flags()[..], flags].concat();
        Self::start(settings(&flags), DESCRIPTOR_SET).await
    }

    /// Starts a gateway on an upstream that serves requests at the same time.
    pub async fn on_origin(origin: &Origin, flags: &[&str]) -> Self {
        let flags = [&origin.flags()[..], flags].concat();
        Self::start(settings(&flags), DESCRIPTOR_SET).await
    }

    /// Starts a gateway on any upstream, with further flags.
    pub async fn at(url: &str, flags: &[&str]) -> Self {
        let flags = [&["--upstream-url", url, "--no-key-check"][..], flags].concat();
        Self::start(settings(&flags), DESCRIPTOR_SET).await
    }

    /// Starts a gateway of any kind.
    pub async fn start(settings: Serve, descriptor_set: &[u8]) -> Self {
        let app = App::bind(&settings, descriptor_set).await.unwrap();
        let (address, admin) = (app.local_addr(), app.admin_addr());
        let (files, metrics) = (app.files(), app.metrics());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        until(|| values(&metrics)["gateway_state serving"] == 1).await;
        Self { address, admin, sandbox: None, files, metrics, stop, running }
    }

    /// Returns the address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the admin listener is off")
    }

    /// Connects a generated client.
    pub async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    /// Returns the handle of the sandbox.
    pub fn sandbox(&self) -> &sandbox::Handle {
        self.sandbox.as_ref().unwrap()
    }

    /// Returns what it counts, also after it has stopped.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Has the credential and certificate files read again, as SIGHUP does.
    pub async fn reload(&self) {
        self.files.reload().await;
    }

    /// Returns the files that can be read again.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Stops the gateway and waits until it has drained.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }
}

/// Returns the settings of a command line with these flags, on a free port. There
/// is no lame duck and no admin listener unless the flags ask for one.
pub fn settings(flags: &[&str]) -> Serve {
    let mut command = vec!["polytomic-gateway", "serve"];
    command.extend(flags);
    if !flags.contains(&"--listen") {
        command.extend(["--listen", "127.0.0.1:0"]);
    }
    if !flags.contains(&"--lame-duck") {
        command.extend(["--lame-duck", "0"]);
    }
    if !flags.contains(&"--admin-listen") {
        command.extend(["--admin-listen", "off"]);
    }
    match Cli::from_arguments(command).unwrap().command {
        Command::Serve(settings) => *settings,
        other => panic!("not serve: {other:?}"),
    }
}
