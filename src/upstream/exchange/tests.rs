#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{cell::RefCell, sync::Arc};

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::{super::breaker::Breaker, *};

type Chunks = &'static [&'static str];

/// An exchange whose body comes in these chunks, with a budget of 8 bytes.
fn exchange(
    chunks: Chunks,
    limit: usize,
) -> Exchange<impl Fn(usize) -> Result<(), Exhausted>> {
    with_reserve(chunks, limit, |bytes| {
        if bytes <= 8 { Ok(()) } else { Err(Exhausted::ResponseMemory) }
    })
}

fn with_reserve<R: Fn(usize) -> Result<(), Exhausted>>(
    chunks: Chunks,
    limit: usize,
    reserve: R,
) -> Exchange<R> {
    let frames = chunks
        .iter()
        .map(|chunk| Ok::<_, Error>(Frame::data(Bytes::from_static(chunk.as_bytes()))));
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    let response = http::Response::builder().header("x-some", "header").body(body);
    let limits = Limits {
        until: Instant::now() + Duration::from_secs(60),
        read_timeout: Duration::from_secs(10),
        bytes: limit,
        reserve,
    };
    let permit = Arc::new(Breaker::new()).admit().unwrap();
    Exchange::new(response.unwrap(), limits, Report::new(Some(permit)))
}

#[tokio::test]
async fn collected_response_has_status_headers_and_the_whole_body() {
    for chunks in [&["one"][..], &["o", "ne"], &["o", "", "n", "e"]] {
        let response = exchange(chunks, 100).collect().await.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["x-some"], "header");
        assert_eq!(response.body, "one");
    }
}

#[tokio::test]
async fn chunks_come_one_by_one() {
    let mut exchange = exchange(&["one", "two"], 100);
    assert_eq!(exchange.status(), StatusCode::OK);
    assert_eq!(exchange.chunk().await.unwrap().unwrap(), "one");
    assert_eq!(exchange.chunk().await.unwrap().unwrap(), "two");
    assert!(exchange.report.permit.is_some(), "the body may still break off");
    assert_eq!(exchange.chunk().await.unwrap(), None);
    assert!(exchange.report.permit.is_none(), "the breaker has its report");
}

#[tokio::test]
async fn body_over_the_limit_or_the_budget_is_not_collected() {
    let over_limit = exchange(&["one", "two"], 5).collect().await;
    assert!(matches!(over_limit, Err(Error::TooLarge { limit: 5 })));
    let over_budget = exchange(&["one", "two", "three"], 100).collect().await;
    assert!(matches!(over_budget, Err(Error::NoMemory(_))));
}

#[tokio::test]
async fn memory_is_reserved_for_the_total_so_far() {
    let reserved = RefCell::new(Vec::new());
    let reserve = |bytes| {
        reserved.borrow_mut().push(bytes);
        Ok(())
    };
    with_reserve(&["one", "two"], 100, reserve).collect().await.unwrap();
    assert_eq!(reserved.into_inner(), [0, 3, 6]);
}

#[tokio::test(start_paused = true)]
async fn silent_body_times_out() {
    let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Error>>());
    let response = http::Response::new(silent.boxed_unsync());
    let mut exchange = exchange(&[], 100);
    exchange.response = response;
    let started = Instant::now();
    assert!(matches!(exchange.chunk().await, Err(Error::Timeout)));
    assert_eq!(started.elapsed().as_secs(), 10);
}
