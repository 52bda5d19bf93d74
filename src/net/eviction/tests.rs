#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, ready},
    pin::pin,
};

use futures_util::FutureExt;
use hyper::rt::Executor;
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{advance, sleep, timeout},
};

use super::{
    evictable::{PONG_TIMEOUT, START_TIMEOUT},
    *,
};
use crate::net::goaway::Ending;

const LIMIT: Duration = Duration::from_secs(30);

fn is_evicted(connection: &Evictable) -> bool {
    connection.is_evicted()
}

/// Serves a request on which no RPC starts.
async fn junk(connection: &Evictable) {
    assert!(connection.may_serve());
    connection.streams().execute(ready(()));
    yield_now().await;
}

async fn rpc(connection: &Evictable) {
    connection.standing().start(true);
    junk(connection).await;
}

async fn unconfirmed_rpc(connection: &Evictable) {
    connection.standing().start(false);
    junk(connection).await;
}

#[tokio::test(start_paused = true)]
async fn oldest_connection_without_an_rpc_ends_first() {
    let queue = Arc::<EvictionQueue>::default();
    let [used, made_up, ended, silent, junky, newest] = [(); 6].map(|()| queue.add());
    rpc(&used).await;
    unconfirmed_rpc(&made_up).await;
    drop(ended);
    advance(Duration::from_secs(60)).await;
    junk(&junky).await;
    for (evicted, next) in [(&silent, &junky), (&junky, &newest)] {
        assert!(queue.evict_first());
        assert!(is_evicted(evicted) && !is_evicted(next));
    }
    assert_eq!(silent.ends(LIMIT).await, Ending::Unused);
    assert!(!silent.may_serve());
    assert_eq!(junky.ends(LIMIT).await, Ending::Evicted);
    assert!(junky.may_serve());
    drop(newest);
    // Only now one with RPCs, without a pause if its client is not known.
    unconfirmed_rpc(&made_up).await;
    assert!(!is_evicted(&made_up) && queue.evict_first() && is_evicted(&made_up));
    assert!(!is_evicted(&used) && queue.evict_first() && is_evicted(&used));
    assert!(!queue.evict_first());
    assert!(queue.lock().by_rank.is_empty());
}

#[tokio::test(start_paused = true)]
async fn connection_without_a_stream_for_longest_ends_next() {
    let queue = Arc::<EvictionQueue>::default();
    let [first, second, open] = [(); 3].map(|()| queue.add());
    for connection in [&first, &second, &open] {
        rpc(connection).await;
    }
    let (end, ended) = oneshot::channel::<()>();
    open.streams().execute(ended.map(|_| ()));
    advance(Duration::from_secs(1)).await;
    rpc(&first).await;
    advance(Duration::from_millis(3999)).await;
    assert!(!queue.evict_first());
    advance(Duration::from_millis(1)).await;
    assert!(queue.evict_first() && is_evicted(&second));
    assert!(!queue.evict_first());
    advance(Duration::from_secs(1)).await;
    assert!(queue.evict_first() && is_evicted(&first));
    advance(10 * IDLE).await;
    assert!(!queue.evict_first());
    end.send(()).unwrap();
    yield_now().await;
    assert!(!queue.evict_first());
    advance(IDLE).await;
    assert!(queue.evict_first() && is_evicted(&open));
}

#[tokio::test(start_paused = true)]
async fn connection_without_a_request_ends_after_the_limit() {
    let queue = Arc::<EvictionQueue>::default();
    let (unused, used) = (queue.add(), queue.add());
    junk(&used).await;
    let started = Instant::now();
    assert_eq!(unused.ends(LIMIT).await, Ending::Unused);
    assert!(started.elapsed() >= LIMIT);
    assert!(!unused.may_serve());
    assert!(timeout(2 * LIMIT, used.ends(LIMIT)).await.is_err());
}

/// Waits for the end of an evicted connection; returns the time that it has taken.
async fn ended(connection: &Evictable) -> Option<Duration> {
    let started = Instant::now();
    let ending = timeout(LIMIT, connection.ends_at_once(LIMIT)).await.ok()?;
    assert_eq!(ending, Ending::Evicted);
    Some(started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn evicted_connection_is_waited_for_while_an_rpc_may_be_lost() {
    let queue = Arc::<EvictionQueue>::default();
    let [silent, held, busy] = [(); 3].map(|()| queue.add());
    for connection in [&silent, &held, &busy] {
        junk(connection).await;
        assert!(queue.evict_first());
    }
    let within = |took: Option<Duration>, least| {
        let took = took.unwrap();
        took >= least && took <= 2 * least
    };
    assert!(within(ended(&silent).await, PONG_TIMEOUT));
    held.streams().execute(pending());
    assert!(within(ended(&held).await, START_TIMEOUT));
    let mut response = pin!(async {
        let (end, ended) = oneshot::channel::<()>();
        busy.streams().execute(ended.map(|_| ()));
        sleep(START_TIMEOUT / 2).await;
        busy.standing().start(false);
        sleep(LIMIT).await;
        end.send(()).unwrap();
    });
    tokio::select! {
        () = &mut response => {}
        ending = busy.ends_at_once(LIMIT) => panic!("{ending:?} within an RPC"),
    }
    assert!(within(ended(&busy).await, PONG_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn connection_of_no_known_client_ends_at_once_if_there_is_no_room() {
    let queue = Arc::<EvictionQueue>::default();
    let [made_up, gone, silent, next, used, open] = [(); 6].map(|()| queue.add());
    for connection in [&made_up, &gone, &silent, &next, &used] {
        connection.streams().execute(pending());
        assert!(connection.may_serve());
        assert!(queue.evict_first() && is_evicted(connection));
    }
    made_up.standing().start(false);
    used.standing().start(true);
    drop(gone);
    for first in [&silent, &next, &made_up] {
        assert!(queue.end_first());
        assert_eq!(ended(first).await, Some(Duration::ZERO));
    }
    assert!(!queue.end_first() && !is_evicted(&open));
    assert_eq!(ended(&used).await, None);
    drop((silent, next, made_up, used));
    assert!(queue.lock().ending.is_empty());
}
