//! The time of authentication per RPC, and the memory of the cache per key.
//!
//! `cargo bench --bench auth`. The allocation columns of `fill` divided by its 10,000
//! keys are the memory of an entry; `hit` shows that a hit allocates nothing.

use std::future::ready;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use polytomic_gateway::auth::{
    Authenticator, Callers, Identity, KeySource, LookUp, LookUpError, Mode, Settings,
    Verdict, settings::Rate,
};
use tokio::runtime::Runtime;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ENTRIES: usize = 10_000;
const FLOOD: usize = 1_000_000;

/// Time after which the hot entry is refreshed, flood or not.
const REFRESH_AFTER: Duration = Duration::from_secs(60);

/// Knows every key except those that begin with `random`.
struct Polytomic;

impl LookUp for Polytomic {
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        Box::pin(ready(verdict(&authorization)))
    }
}

fn verdict(authorization: &HeaderValue) -> Result<Verdict, LookUpError> {
    if authorization.as_bytes().starts_with(b"Bearer random") {
        return Ok(Verdict::Unknown);
    }
    let body = br#"{"data":{"is_partner":true,"is_user":false,
            "organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d",
            "organization_name":"My Organization"}}"#;
    Identity::from_json(body).map(Verdict::Known).ok_or(LookUpError::new("unreadable"))
}

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 200, sample_size = 1_000)]
fn hit(bencher: Bencher<'_, '_>) {
    let (runtime, auth) = start(Settings::new(Mode::Passthrough, "u", "v"));
    measure_hit(bencher, &runtime, &auth);
}

#[divan::bench(sample_count = 200, sample_size = 1_000, threads = 4)]
fn hit_on_four_threads(bencher: Bencher<'_, '_>) {
    let (runtime, auth) = start(Settings::new(Mode::Passthrough, "u", "v"));
    measure_hit(bencher, &runtime, &auth);
}

#[divan::bench(sample_count = 200, sample_size = 1_000)]
fn hit_in_static_mode(bencher: Bencher<'_, '_>) {
    let key = KeySource::Value("8e5dcfdd-d23d-4e6f-a136-119e1254847b".into());
    let mode = Mode::Static { key, callers: Callers::Any };
    let (runtime, auth) = start(Settings::new(mode, "u", "v"));
    measure_hit(bencher, &runtime, &auth);
}

#[divan::bench]
fn rejection_of_two_values(bencher: Bencher<'_, '_>) {
    let (_runtime, auth) = start(Settings::new(Mode::Passthrough, "u", "v"));
    let mut metadata = metadata("8e5dcfdd-d23d-4e6f-a136-119e1254847b");
    metadata.append(AUTHORIZATION, HeaderValue::from_static("Bearer two"));
    bencher
        .bench_local(|| poll_once(auth.credentials(black_box(&metadata), None)).is_err());
}

/// The first RPC with each of 10,000 keys of 36 characters, with its look-up.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn fill(bencher: Bencher<'_, '_>) {
    let metadata: Vec<_> = (0..ENTRIES).map(|number| key("partner", number)).collect();
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .with_inputs(|| start(Settings::new(Mode::Passthrough, "u", "v")))
        .bench_values(|(runtime, auth)| {
            runtime.block_on(call(&auth, metadata.iter()));
            (runtime, auth)
        });
}

/// A million RPCs with keys that Polytomic does not know.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn flood_of_wrong_keys(bencher: Bencher<'_, '_>) {
    let (runtime, auth) = start(Settings::new(Mode::Passthrough, "u", "v"));
    let hot = metadata("hot");
    let generation =
        || runtime.block_on(auth.credentials(&hot, None)).map(|c| c.generation());
    bencher.counter(ItemsCount::new(FLOOD)).bench_local(|| {
        let (mut before, mut since) = (generation(), Instant::now());
        let mut report = Vec::new();
        for number in 0..FLOOD {
            drop(runtime.block_on(auth.credentials(&key("random", number), None)));
            if number % 100 == 0 {
                let now = generation();
                if now != before {
                    assert!(
                        since.elapsed() >= REFRESH_AFTER,
                        "the hot entry was evicted"
                    );
                    (before, since) = (now, Instant::now());
                }
            }
            if number % (FLOOD / 5) == FLOOD / 50 {
                report.push(resident_kib());
            }
        }
        report.push(resident_kib());
        assert!(auth.stats().entries <= 11_000);
        show(&report);
    });
}

#[allow(clippy::print_stderr, reason = "a benchmark reports on the terminal")]
fn show(resident: &[u64]) {
    eprintln!(
        "\nresident KiB after 2, 22, 42, 62, 82 and 100 % of the flood: {resident:?}"
    );
}

/// Returns the resident set from Linux's `/proc`, or zero on other systems.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn measure_hit(bencher: Bencher<'_, '_>, runtime: &Runtime, auth: &Authenticator) {
    let metadata = metadata("8e5dcfdd-d23d-4e6f-a136-119e1254847b");
    runtime.block_on(call(auth, [&metadata].into_iter()));
    bencher.bench(|| poll_once(auth.credentials(black_box(&metadata), None)));
}

fn start(mut settings: Settings) -> (Runtime, Authenticator) {
    // Every key is looked up, so that the cache fills.
    settings.look_ups = Rate { per_second: u32::MAX, burst: u32::MAX };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let auth = runtime.block_on(Authenticator::start(settings, Polytomic));
    (runtime, auth.expect("good settings"))
}

async fn call<'a>(auth: &Authenticator, metadata: impl Iterator<Item = &'a HeaderMap>) {
    for metadata in metadata {
        auth.credentials(metadata, None).await.expect("a partner's key");
    }
}

/// Polls once: a hit never waits, and the cost of a runtime is not part of it.
fn poll_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a hit does not wait"),
    }
}

fn key(kind: &str, number: usize) -> HeaderMap {
    metadata(&format!("{kind:-<28}{number:08}"))
}

fn metadata(key: &str) -> HeaderMap {
    let value = format!("Bearer {key}").try_into().expect("visible ASCII");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}
