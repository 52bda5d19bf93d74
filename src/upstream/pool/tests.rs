#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io, iter,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::BodyExt;
use kit::{
    HANG_GUARD, Protocol, over_both,
    tls::{Authority, VALID},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    time::{advance, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::{service_fn, util::BoxCloneSyncService};

use super::{
    super::{
        cancel::RequestBody,
        connect::system_resolver,
        http1::{self, Lent},
        http2,
    },
    Client::Key,
    *,
};
use crate::tls::{ClientFiles, PemFile};

const AGE: Duration = Duration::from_secs(20);

/// Returns a pool with this many connections at most, and none yet.
fn pool(connections: usize) -> Pool {
    let url = "http://127.0.0.1:9".parse().unwrap();
    let connector = Connector::new(&url, None, AGE, system_resolver()).unwrap();
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

const NAME: &str = "polytomic.test";

/// Accepts connections, and counts them.
fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> Arc<AtomicUsize> {
    let accepted = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let Some(tls) = tls.clone() else {
                open.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let stream = tls.accept(stream).await.unwrap();
                let mut server = h2::server::handshake(stream).await.unwrap();
                while server.accept().await.is_some() {}
            });
        }
    });
    accepted
}

#[tokio::test]
async fn changed_dns_answer_is_followed() {
    over_both(async |protocol| {
        let authority = Authority::new();
        let tls = || {
            let is_http2 = protocol == Protocol::Http2;
            is_http2.then(|| authority.server_of(NAME, VALID, protocol))
        };
        let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = old.local_addr().unwrap().port();
        let new = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let answer = Arc::new(Mutex::new(old.local_addr().unwrap()));
        let moved_to = new.local_addr().unwrap();
        let (at_old, at_new) = (serve(old, tls()), serve(new, tls()));

        let asked = Arc::clone(&answer);
        let resolver = BoxCloneSyncService::new(service_fn(move |name| {
            let address: SocketAddr = *asked.lock().unwrap();
            async move {
                assert_eq!(format!("{name}"), NAME);
                Ok::<_, io::Error>(vec![address].into_iter())
            }
        }));
        let scheme = if tls().is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{NAME}:{port}").parse().unwrap();
        let ca = PemFile { flag: "--upstream-ca-file", path: authority.file().into() };
        let files = ClientFiles { ca: Some(ca), pair: None };
        let files = tls().map(|_| files.load().unwrap());
        let connector = Connector::new(&url, files, HANG_GUARD, resolver).unwrap();
        let age = Duration::from_millis(100);
        let pool = Pool::new(connector, Limits { connections: 2, age });
        let use_one = async || match pool
            .acquire(Key(1), Instant::now() + HANG_GUARD)
            .await
            .unwrap()
        {
            Slot::Http1(lent) => lent.give_back(),
            Slot::Http2(..) => {}
        };
        use_one().await;
        *answer.lock().unwrap() = moved_to;
        let moves = async {
            while at_new.load(SeqCst) == 0 {
                use_one().await;
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG_GUARD, moves).await.expect("the old answer is kept");
        let before = at_old.load(SeqCst);
        sleep(2 * age).await;
        use_one().await;
        assert_eq!(at_old.load(SeqCst), before, "the old answer comes back");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connection_ends_whose_server_responds_and_reads_no_more() {
    let pool = pool(1);
    let (near, mut server) = tokio::io::duplex(256);
    let connection = http1::handshake(near).await.unwrap();
    pool.state().add_http1(connection);
    let Some(Slot::Http1(lent)) = pool.try_grant(&mut pool.state(), Key(1)) else {
        panic!("the connection is idle");
    };
    let body = RequestBody::new(Some(Bytes::from(vec![0; 1 << 20])), None);
    let request = Request::post("/api").header(HOST, NAME).body(body).unwrap();
    let response = tokio::spawn(http1::send(lent, request));
    tokio::task::yield_now().await;
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let response = response.await.unwrap().ok().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    assert!(pool.state().idle.is_empty(), "the request is still being sent");
    sleep(HANG_GUARD).await;
    server.write_u8(0).await.expect_err("it is closed");
}
