#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::iter;

use bytes::Bytes;
use tokio::time::advance;

use super::{super::http2, Client::Key, *};

const AGE: Duration = Duration::from_secs(20);

/// Returns a pool with this many connections at most, and none yet.
fn pool(connections: usize) -> Pool {
    let url = "http://127.0.0.1:9".parse().unwrap();
    let connector = Connector::new(&url, None, AGE).unwrap();
    Pool::new(connector, Limits { connections, age: AGE })
}

/// Opens a connection to a server that allows this many streams.
async fn connection(streams: u32) -> http2::Connection {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut server = h2::server::Builder::new();
        let server = server.max_concurrent_streams(streams);
        let mut server = server.handshake::<_, Bytes>(far).await.unwrap();
        while server.accept().await.is_some() {}
    });
    http2::handshake(near).await.unwrap()
}

/// Takes all streams that a client may hold.
fn fill(pool: &Pool, client: Client) -> Vec<Slot> {
    iter::from_fn(|| pool.try_grant(&mut pool.state(), client)).collect()
}

#[tokio::test]
async fn streams_are_given_until_nobody_who_waits_may_hold_another() {
    let pool = pool(1);
    let connection = connection(64).await;
    pool.state().add_http2(1, connection);
    let _held = [fill(&pool, Key(1)), fill(&pool, Key(2))];
    let waiting = [1, 3, 2, 3, 3, 3];
    let _waiting = waiting.map(|number| pool.state().queue.push(Key(number)).1);
    pool.dispatch(pool.state());
    assert_eq!([1, 2, 3].map(|number| pool.state().queue.len_of(Key(number))), [1, 1, 0]);
}

#[tokio::test]
async fn only_the_gateways_own_key_may_hold_all_streams() {
    for (client, held) in [(Client::Gateway, 64), (Key(1), 28), (Client::Unconfirmed, 28)]
    {
        let pool = pool(1);
        let connection = connection(64).await;
        pool.state().add_http2(1, connection);
        assert_eq!(fill(&pool, client).len(), held, "{client:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_connection_is_closed_only_if_unused_or_replaced() {
    let pool = pool(2);
    let connections = || pool.state().in_use().0;
    let (first, second) = (connection(4).await, connection(4).await);
    pool.state().add_http2(1, first);
    advance(AGE.mul_f64(0.75)).await;
    pool.state().add_http2(2, second);
    advance(AGE.mul_f64(0.5)).await;
    assert!(pool.state().sweep());
    assert_eq!(connections(), 1, "the second is not too old");
    advance(AGE).await;
    assert!(pool.state().sweep());
    assert_eq!(connections(), 1, "no other may open");
    advance(Duration::from_secs(25)).await;
    assert!(!pool.state().sweep(), "nobody uses it");
}
