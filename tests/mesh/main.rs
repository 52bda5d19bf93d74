//! The promise of one share, in a real mesh: real clients, a real proxy, two gateways.
//!
//! ```text
//! grpc-go, grpcio ──► Envoy ──► two gateways ──► sandbox
//! retries, copies     retries   retry            loses responses
//! ```
//!
//! `tests/integration/exactly_once.rs` checks the same promise with a client and a proxy
//! of its own, which share its assumptions. Here the retries are those of other people's
//! code: the retry policies of grpc-go and grpcio, and those of Envoy, which also hedges.
//! Neither library hedges yet, so its client sends copies itself. In the end, each create
//! is compared with what its client learned (`checker`).
//!
//! `.ci/run mesh` builds the clients, installs Envoy and runs this. Without them it fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checker;
mod client;
mod create;
mod envoy;
mod figures;
mod gateways;
mod restarts;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kit::ports;
use polytomic_gateway::sandbox::{Faults, Handle, Sandbox};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use self::{
    checker::Evidence,
    client::Clients,
    create::Create,
    envoy::{Envoy, Listeners},
    figures::Figures,
    gateways::{Gateways, Ports},
    restarts::Restarts,
};

/// The creates of a run. `MESH_CREATES` replaces the number.
const CREATES: u64 = 4_200;

/// Concurrent creates. Many of them wait, as a gateway or a policy asked them to.
const CONCURRENT: usize = 64;

/// The faults of the sandbox: 45% of requests, with a delay up to this time.
const PERCENT: u8 = 45;
const LONGEST_DELAY: Duration = Duration::from_millis(600);

/// Longer than the run takes on a busy machine.
const LONG: Duration = Duration::from_secs(600);

/// What a create needs.
struct Mesh {
    clients: Clients,
    listeners: Listeners,
    figures: Figures,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_create_makes_at_most_one_share_through_a_mesh() {
    let creates = setting("MESH_CREATES", CREATES);
    let seed = setting("MESH_SEED", 20_250_918);
    report(&format!("{creates} creates, MESH_SEED={seed}"));
    let started = Instant::now();
    timeout(LONG, run(creates, seed)).await.expect("it ends");
    report(&format!("it took {:.1} s", started.elapsed().as_secs_f64()));
}

fn setting(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test has no flags")]
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
fn report(line: &str) {
    println!("{line}");
}

async fn run(count: u64, seed: u64) {
    let handle = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap().handle();
    handle.set_faults(Some(Faults { seed, percent: PERCENT, delay: LONGEST_DELAY }));
    let [upstream, first, second, admin, sidecar, hedging, plain, once] = ports::free();
    let addresses = Ports { upstream, gateways: [first, second] };
    let listeners = Listeners { sidecar, hedging, plain, once };

    let upstream = Restarts::start(&handle, addresses, seed).await;
    let gateways = Gateways::start(addresses, seed).await;
    let envoy = Envoy::start(admin, listeners, addresses.gateways).await;
    let clients = Clients::start();
    let mesh = Arc::new(Mesh { clients, listeners, figures: Figures::default() });

    let creates = make_all(&mesh, count, seed).await;

    let stats = envoy.stats().await;
    let mesh = Arc::into_inner(mesh).expect("no create is left");
    mesh.clients.end().await;
    envoy.end().await;
    let lives = gateways.end().await;
    let restarts = upstream.end().await;

    let losses = Losses::of(&handle);
    let figures = mesh.figures;
    // Some calls end before their first RPC.
    let retries = stats.received().saturating_sub(figures.calls());
    report(&format!("sandbox: {restarts} restarts; {losses}\n{lives}\n{stats}"));
    report(&format!("libraries: at least {retries} retries\n{figures}"));
    let evidence = evidence(&handle);
    let none = Evidence::default();
    let problems: Vec<String> = creates
        .iter()
        .map(Create::claim)
        .filter_map(|claim| {
            let evidence = evidence.get(&claim.name).unwrap_or(&none);
            checker::check(&claim, evidence).err()
        })
        .collect();
    let first: Vec<_> = problems.iter().take(10).map(String::as_str).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), first.join("\n"));
    let names: BTreeSet<_> = creates.iter().map(|create| create.claim().name).collect();
    assert_eq!(names.len() as u64, count);
    let unwanted: Vec<_> =
        evidence.keys().filter(|name| !names.contains(*name)).collect();
    assert!(unwanted.is_empty(), "no client wanted {unwanted:?}");

    assert!(restarts > 0, "the upstream was not restarted");
    lives.check();
    losses.check();
    stats.check();
    figures.check();
}

/// Makes all creates, and returns what their clients learned.
async fn make_all(mesh: &Arc<Mesh>, count: u64, seed: u64) -> Vec<Create> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENT {
        let (mesh, next) = (Arc::clone(mesh), Arc::clone(&next));
        tasks.spawn(async move {
            let mut creates = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return creates;
                }
                let mut create = Create::new(number, seed);
                create.make(&mesh).await;
                creates.push(create);
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Returns what the sandbox holds and has received, by the names of the creates.
fn evidence(handle: &Handle) -> BTreeMap<String, Evidence> {
    let mut all = BTreeMap::<String, Evidence>::new();
    for share in handle.shares() {
        if share.name.starts_with(create::PREFIX) {
            all.entry(share.name).or_default().shares.push(share.id);
        }
    }
    for request in handle.requests() {
        // A request that was cut off has no body.
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { continue };
        let Some(name) = body["name"].as_str() else { continue };
        let key = request.headers["idempotency-key"].to_str().unwrap();
        all.entry(name.to_owned()).or_default().keys.insert(key.to_owned());
    }
    all
}

/// The creates at the sandbox, and those whose response was lost or replaced.
struct Losses {
    creates: usize,
    lost: usize,
    replaced: usize,
    conflicts: usize,
}

impl Losses {
    fn of(handle: &Handle) -> Self {
        let requests = handle.requests();
        let statuses: Vec<_> = requests
            .iter()
            .filter(|request| request.method == http::Method::POST)
            .map(|request| request.status.map(|status| status.as_u16()))
            .collect();
        let count = |is: fn(&Option<u16>) -> bool| {
            statuses.iter().filter(|status| is(status)).count()
        };
        Self {
            creates: statuses.len(),
            lost: count(Option::is_none),
            replaced: count(|status| matches!(status, Some(502..=504))),
            conflicts: count(|status| *status == Some(409)),
        }
    }

    fn check(&self) {
        for (count, what) in [
            (self.lost, "responses lost"),
            (self.replaced, "responses replaced"),
            (self.conflicts, "conflicts"),
        ] {
            assert!(count > 0, "{what}: none");
        }
    }
}

impl std::fmt::Display for Losses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { creates, lost, replaced, conflicts } = self;
        write!(
            f,
            "{creates} POSTs; {lost} responses lost, {replaced} replaced by 502 to \
             504; {conflicts} times 409"
        )
    }
}
