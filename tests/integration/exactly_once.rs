//! The promise: no share is lost and none is made twice, whatever fails.
//!
//! Many clients create shares through two gateways. They retry a failed create as a
//! mesh does (same `x-request-id`), as a careful client does (same
//! `idempotency-key`), or as a client library does behind a sidecar (another
//! `x-request-id`, and the number of the try). Meanwhile the sandbox loses, delays, duplicates and corrupts
//! exchanges. At times drawn from a seed, everything is killed and restarted:
//! gateways, which are processes and get SIGKILL; the upstream with its requests in
//! progress; the relay to it; and clients. In the end, the sandbox must hold the
//! shares that clients know of.
//!
//! `.ci/run exactly-once` and `just exactly-once` do it with more creates.

mod create;
mod figures;
mod lives;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use polytomic_gateway::sandbox::{Faults, Handle, Sandbox};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use self::{
    create::Create,
    figures::Figures,
    lives::{Calm, Environment},
};

/// The creates of a `cargo test`. `EXACTLY_ONCE_CREATES` replaces the number.
const CREATES: u64 = 800;

/// Concurrent clients.
const CLIENTS: usize = 48;

/// The maximum delay of a request or a response by the sandbox.
const LONGEST_DELAY: Duration = Duration::from_millis(400);

/// Longer than the run takes on a busy machine.
const LONG: Duration = Duration::from_secs(1200);

/// The shares of the seed data.
const SHARES_BEFORE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn each_create_makes_at_most_one_share() {
    let creates = setting("EXACTLY_ONCE_CREATES", CREATES);
    let seed = setting("EXACTLY_ONCE_SEED", 20_250_918);
    report(&format!("{creates} creates, EXACTLY_ONCE_SEED={seed}"));
    let started = Instant::now();
    let figures = timeout(LONG, run(creates, seed)).await.expect("it ends");
    let took = started.elapsed().as_secs_f64();
    report(&format!("it took {took:.1} s: {figures}"));
    figures.check();
}

fn setting(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test has no flags")]
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[expect(clippy::print_stdout, reason = "the figures are what the long run is for")]
fn report(line: &str) {
    println!("{line}");
}

async fn run(count: u64, seed: u64) -> Arc<Figures> {
    let handle = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap().handle();
    handle.set_faults(Some(Faults { seed, percent: 50, delay: LONGEST_DELAY }));

    let environment = Arc::new(Environment::start(handle.clone(), seed).await);
    let creates = make_all(&environment, count, seed).await;
    let calm = Arc::into_inner(environment).expect("no client is left").end().await;

    let made = shares_by_name(&handle);
    let wanted = stream::iter(&creates)
        .map(|create| check(create, &made, &calm))
        .buffer_unordered(CLIENTS)
        .filter(|wanted| std::future::ready(*wanted))
        .count()
        .await;
    let after = shares_by_name(&handle);
    assert!(after.values().all(|ids| ids.len() == 1));
    assert_eq!(after.len(), wanted, "exactly the wanted shares exist");
    assert_eq!(handle.shares().len(), SHARES_BEFORE + wanted);
    calm.figures
}

/// Runs all creates.
async fn make_all(environment: &Arc<Environment>, count: u64, seed: u64) -> Vec<Create> {
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (environment, next) = (Arc::clone(environment), Arc::clone(&next));
        clients.spawn(async move {
            let mut creates = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return creates;
                }
                let mut create = Create::new(number, seed);
                create.make(&environment).await;
                creates.push(create);
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Compares the outcome that a client got with the shares that exist. Returns whether the
/// share exists in the end.
async fn check(
    create: &Create,
    made: &HashMap<String, Vec<String>>,
    calm: &Calm,
) -> bool {
    let name = create.name();
    let ids = made.get(&name).map_or(&[][..], Vec::as_slice);
    assert!(ids.len() <= 1, "{name} was made {} times", ids.len());
    assert!(ids.is_empty() || create.is_valid, "{name} was made");
    let figures = &calm.figures;
    if let Some(id) = &create.ending.id {
        assert_eq!(ids, [id.as_str()], "{name} is not the id that its client got");
        figures.identified.one();
        return true;
    }
    if !create.ending.is_unknown {
        assert!(
            ids.is_empty(),
            "{name} was made, but reported to its client as not made"
        );
        figures.nothing.one();
        return false;
    }
    figures.unknown.one();
    if !ids.is_empty() {
        figures.made.one();
    }
    if !create.can_be_retried() {
        // Its client has no key: a retry would be another create.
        return !ids.is_empty();
    }
    // The client has a key or a request ID, and a retry with it finds the share.
    let found = create.find(calm.gateway.address).await;
    assert_eq!(found.is_some(), create.is_valid, "{name}");
    if let (Some(id), [first, ..]) = (&found, ids) {
        assert_eq!(id, first, "{name} was found as another");
    }
    found.is_some()
}

fn shares_by_name(handle: &Handle) -> HashMap<String, Vec<String>> {
    let mut shares = HashMap::<_, Vec<_>>::new();
    for share in handle.shares() {
        if share.name.starts_with("create-") {
            shares.entry(share.name).or_default().push(share.id);
        }
    }
    shares
}
