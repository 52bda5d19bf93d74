#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::{
    super::breaker::{Breaker, Holder},
    *,
};
use crate::budget::{Exhausted, KeyId};

type Chunks = &'static [&'static str];

/// A budget of some bytes, and what was reserved of it.
#[derive(Default)]
struct Budget {
    bytes: usize,
    reserved: Mutex<Vec<usize>>,
}

impl Reserve for &Budget {
    async fn reserve(&self, bytes: usize, until: Instant) -> Result<(), Exhausted> {
        assert!(until > Instant::now());
        assert!(until < Instant::now() + 2 * ATTEMPT, "there is time left to read");
        self.reserved.lock().unwrap().push(bytes);
        if bytes <= self.bytes { Ok(()) } else { Err(Exhausted::ResponseMemory) }
    }
}

const ATTEMPT: Duration = Duration::from_secs(60);

/// An exchange whose body comes in these chunks.
fn exchange<R: Reserve>(chunks: Chunks, limit: usize, reserve: R) -> Exchange<R> {
    let frames = chunks
        .iter()
        .map(|chunk| Ok::<_, Error>(Frame::data(Bytes::from_static(chunk.as_bytes()))));
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    let response = http::Response::builder().header("x-some", "header").body(body);
    let limits = Limits {
        until: Instant::now() + ATTEMPT,
        deadline: Instant::now() + 2 * ATTEMPT,
        read_timeout: Duration::from_secs(10),
        bytes: limit,
        reserve,
    };
    let holder = Holder::of_client(KeyId(1), true);
    let permit = Arc::new(Breaker::new()).admit(holder).unwrap();
    Exchange::new(response.unwrap(), limits, Report::new(Some(permit)))
}

#[tokio::test]
async fn collected_response_has_status_headers_and_the_whole_body() {
    for chunks in [&["one"][..], &["o", "ne"], &["o", "", "n", "e"]] {
        let response = exchange(chunks, 100, ()).collect().await.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["x-some"], "header");
        assert_eq!(response.body, "one");
    }
}

#[tokio::test]
async fn chunks_come_one_by_one() {
    let mut exchange = exchange(&["one", "two"], 100, ());
    assert_eq!(exchange.status(), StatusCode::OK);
    assert_eq!(exchange.chunk().await.unwrap().unwrap(), "one");
    assert_eq!(exchange.chunk().await.unwrap().unwrap(), "two");
    assert!(exchange.report.permit.is_some(), "the body may still break off");
    assert_eq!(exchange.chunk().await.unwrap(), None);
    assert!(exchange.report.permit.is_none(), "the breaker has its report");
}

#[tokio::test]
async fn problem_that_the_reader_finds_ends_the_exchange() {
    let mut exchange = exchange(&["one", "two"], 100, ());
    exchange.chunk().await.unwrap();
    exchange.fail(&Error::TooLarge { limit: 3 });
    assert!(exchange.report.permit.is_none(), "the breaker has its report");
}

#[tokio::test]
async fn body_over_the_limit_or_the_budget_is_not_collected() {
    let over_limit = exchange(&["one", "two"], 5, ()).collect().await;
    assert!(matches!(over_limit, Err(Error::TooLarge { limit: 5 })));
    let budget = Budget { bytes: 8, ..Budget::default() };
    let over_budget = exchange(&["one", "two", "three"], 100, &budget).collect().await;
    assert!(matches!(over_budget, Err(Error::NoMemory(_))));
}

#[tokio::test]
async fn memory_is_reserved_for_the_total_so_far() {
    for (chunks, limit, expected) in [
        (&["one", "two"][..], 100, &[0, 3, 6][..]),
        (&["one", "two", "three"], 100, &[0, 3, 6, 18]),
        (&["one", "two", "three"], 11, &[0, 3, 6, 17]),
        (&["four", "one", "f", "s"], 100, &[0, 4, 8, 24]),
    ] {
        let budget = Budget { bytes: 100, ..Budget::default() };
        let response = exchange(chunks, limit, &budget).collect().await.unwrap();
        assert_eq!(response.body, chunks.concat());
        assert_eq!(*budget.reserved.lock().unwrap(), expected, "{chunks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_body_times_out() {
    let mut exchange = silent(());
    let started = Instant::now();
    assert!(matches!(exchange.chunk().await, Err(Error::Timeout)));
    assert_eq!(started.elapsed().as_secs(), 10);
}

/// A budget that is free after this time.
struct Later(Duration);

impl Reserve for Later {
    async fn reserve(&self, _bytes: usize, until: Instant) -> Result<(), Exhausted> {
        let sleep = tokio::time::sleep(self.0);
        timeout_at(until, sleep).await.map_err(|_| Exhausted::ResponseMemory)
    }
}

fn silent<R: Reserve>(reserve: R) -> Exchange<R> {
    let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Error>>());
    let mut exchange = exchange(&[], 100, reserve);
    exchange.response = http::Response::new(silent.boxed_unsync());
    exchange
}

#[tokio::test(start_paused = true)]
async fn attempt_is_longer_by_the_time_that_it_waits_for_memory() {
    for (wait, until) in [(0, 60), (45, 105), (59, 119), (61, 120)] {
        let mut exchange = silent(Later(Duration::from_secs(wait)));
        let (started, reserved) = (Instant::now(), exchange.reserve(1).await);
        // Half of the time until the deadline.
        assert_eq!(reserved.is_ok(), wait < 60, "{wait}");
        assert_eq!((exchange.limits.until - started).as_secs(), until, "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_a_wait_for_memory_says_nothing_of_polytomic() {
    for (wait, opens) in [(0, true), (1, false)] {
        let breaker = Arc::new(Breaker::new());
        for _ in 0..100 {
            let mut exchange = silent(Later(Duration::from_secs(wait)));
            let holder = Holder::of_client(KeyId(1), true);
            let Ok(permit) = breaker.admit(holder) else { break };
            exchange.report = Report::new(Some(permit));
            exchange.reserve(1).await.unwrap();
            assert!(matches!(exchange.chunk().await, Err(Error::Timeout)));
        }
        let holder = Holder::of_client(KeyId(1), true);
        assert_eq!(breaker.admit(holder).is_err(), opens, "{wait}");
    }
}
