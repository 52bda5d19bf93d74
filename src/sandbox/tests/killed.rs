//! A sandbox that is killed, and its successor on the same data.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use http::StatusCode;
use tokio::{runtime::Runtime, sync::oneshot, task::spawn_blocking, time::timeout};

use super::{
    super::{Faults, Handle, Sandbox},
    LONG, data, response, seed, shared, third_child, until,
};

/// A sandbox on a separate runtime, which can be killed with all its tasks.
struct Mortal {
    runtime: Runtime,
    handle: Handle,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Mortal {
    async fn start() -> Self {
        let listener = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (handle, address) = (listener.handle(), listener.local_addr());
        drop(listener);
        Self::again(handle, address).await
    }

    async fn again(handle: Handle, address: SocketAddr) -> Self {
        let runtime = Runtime::new().unwrap();
        let (bound, listens) = oneshot::channel();
        let state = handle.clone();
        runtime.spawn(async move {
            let sandbox = state.bind(address).await.unwrap();
            bound.send(()).unwrap();
            sandbox.run(std::future::pending()).await;
        });
        listens.await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { runtime, handle, address, client }
    }

    async fn killed(self) -> (Handle, SocketAddr) {
        spawn_blocking(move || drop(self.runtime)).await.unwrap();
        (self.handle, self.address)
    }

    fn create(&self, connection: &str, key: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("http://{}{}", self.address, shared(connection)))
            .bearer_auth(seed::PARTNER_KEY)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(third_child())
    }
}

#[tokio::test]
async fn each_create_is_made_and_recorded_or_neither() {
    const CREATES: usize = 100;
    let keys: Vec<_> = (0..CREATES).map(|create| format!("create-{create}")).collect();
    let sandbox = Mortal::start().await;
    let faults = Faults { seed: 7, percent: 100, delay: Duration::from_secs(3600) };
    sandbox.handle.set_faults(Some(faults));
    for key in &keys {
        tokio::spawn(sandbox.create(seed::UNSHARED_CONNECTION, key).send());
    }
    until(|| sandbox.handle.requests().len() == CREATES).await;
    sandbox.handle.set_faults(None);
    // Some creates hold their key, for an hour.
    let mut held = 0;
    for key in &keys {
        let create = sandbox.create(seed::UNSHARED_CONNECTION, key);
        held += usize::from(response(create).await.0 == StatusCode::CONFLICT);
    }
    assert!((1..CREATES).contains(&held), "{held}");
    assert_eq!(sandbox.handle.shares().len(), 3 + CREATES - held);

    let (handle, address) = sandbox.killed().await;
    timeout(LONG, handle.idle()).await.expect("no request is left");
    assert_eq!(handle.shares().len(), 3 + CREATES - held);

    let sandbox = Mortal::again(handle, address).await;
    let mut ids = HashSet::new();
    for key in &keys {
        let create = || sandbox.create(seed::UNSHARED_CONNECTION, key);
        let id = data(create()).await["id"].to_string();
        assert_eq!(data(create()).await["id"].to_string(), id);
        ids.insert(id);
    }
    assert_eq!(ids.len(), CREATES);
    assert_eq!(sandbox.handle.shares().len(), 3 + CREATES);
    sandbox.killed().await;
}

#[tokio::test]
async fn killing_the_sandbox_frees_a_key_in_flight() {
    let sandbox = Mortal::start().await;
    let create = |sandbox: &Mortal| {
        tokio::spawn(sandbox.create(seed::NEVER_ANSWERED, "create-0001").send())
    };
    // One create holds the key; the other gets a 409.
    let (mut one, mut two) = (create(&sandbox), create(&sandbox));
    let (rejected, held) = tokio::select! {
        rejected = &mut one => (rejected, two),
        rejected = &mut two => (rejected, one),
    };
    assert_eq!(rejected.unwrap().unwrap().status(), StatusCode::CONFLICT);

    let (handle, address) = sandbox.killed().await;
    assert!(held.await.unwrap().is_err(), "its connection was killed too");
    let sandbox = Mortal::again(handle, address).await;
    let again = sandbox.create(seed::NEVER_ANSWERED, "create-0001");
    let again = again.timeout(Duration::from_millis(200)).send().await;
    assert!(again.unwrap_err().is_timeout());
    sandbox.killed().await;
}

#[tokio::test]
async fn stopped_sandbox_serves_again() {
    let stopped = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (handle, address) = (stopped.handle(), stopped.local_addr());
    stopped.run(std::future::ready(())).await;

    let sandbox = Mortal::again(handle, address).await;
    let held = sandbox.create(seed::NEVER_ANSWERED, "create-0001");
    let held = held.timeout(Duration::from_millis(200)).send().await;
    assert!(held.unwrap_err().is_timeout(), "the new server does not stop");
    sandbox.killed().await;
}
