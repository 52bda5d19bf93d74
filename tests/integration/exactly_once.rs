//! The promise: no share is lost and none is made twice, whatever fails.
//!
//! Many callers create shares through two gateways, and send a create again when
//! it fails, as a mesh does (same `x-request-id`) or as a careful caller does
//! (same `idempotency-key`). Meanwhile the sandbox loses, delays, doubles and
//! misanswers requests, and everything dies and comes again at moments drawn from
//! a seed: gateways, which are processes and end by SIGKILL; the upstream, with
//! all that it has begun; the way to it; and callers. In the end the sandbox must
//! hold what callers were told.
//!
//! `.ci/run exactly-once` and `just exactly-once` do it with more creates.

mod create;
mod draws;
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
    lives::{Calm, Scene},
};

/// The creates of a plain test run. `EXACTLY_ONCE_CREATES` asks for another number.
const CREATES: u64 = 800;

/// Callers at a time.
const CALLERS: usize = 48;

/// The longest that the sandbox delays a request or an answer.
const LONGEST_DELAY: Duration = Duration::from_millis(400);

/// Longer than everything takes on a busy machine.
const LONG: Duration = Duration::from_secs(1200);

/// The shares of the seed data.
const SHARES_BEFORE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn each_create_makes_one_share_whatever_fails() {
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

    let scene = Arc::new(Scene::start(handle.clone(), seed).await);
    let creates = everyone(&scene, count, seed).await;
    let calm = Arc::into_inner(scene).expect("no caller is left").end().await;

    let made = shares_by_name(&handle);
    let wanted = stream::iter(&creates)
        .map(|create| judge(create, &made, &calm))
        .buffer_unordered(CALLERS)
        .filter(|wanted| std::future::ready(*wanted))
        .count()
        .await;
    let after = shares_by_name(&handle);
    assert!(after.values().all(|ids| ids.len() == 1));
    assert_eq!(after.len(), wanted, "who asked again has got it, and nobody else");
    assert_eq!(handle.shares().len(), SHARES_BEFORE + wanted);
    calm.figures
}

/// Has all creates made.
async fn everyone(scene: &Arc<Scene>, count: u64, seed: u64) -> Vec<Create> {
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (scene, next) = (Arc::clone(scene), Arc::clone(&next));
        callers.spawn(async move {
            let mut creates = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return creates;
                }
                let mut create = Create::new(number, seed);
                create.make(&scene).await;
                creates.push(create);
            }
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// Compares what a caller was told with what there is. Returns whether there is a
/// share of it in the end.
async fn judge(
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
        assert_eq!(ids, [id.as_str()], "{name} is not what its caller was told");
        figures.told.one();
        return true;
    }
    if !create.ending.in_doubt {
        assert!(ids.is_empty(), "{name} was made, and its caller told that it was not");
        figures.nothing.one();
        return false;
    }
    figures.unknown.one();
    if !ids.is_empty() {
        figures.made.one();
    }
    if !create.can_be_repeated() {
        // Its caller has heard nothing at all, and would not know a repeat.
        return !ids.is_empty();
    }
    // The caller was given a key, or knows what it sent: that finds the share.
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
