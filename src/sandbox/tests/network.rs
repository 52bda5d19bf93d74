//! Connections, clients and sandboxes that go away.

use std::{error::Error, io, sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{LONG, Running, data, rejection, seed, shared, third_child, until};

/// A request as it stands on the wire.
fn raw(connection: &str, key: &str) -> Vec<u8> {
    let (path, body) = (shared(connection), third_child());
    format!(
        "POST {path} HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nidempotency-key: {key}\r\n\
         content-length: {}\r\n\r\n{body}",
        seed::PARTNER_KEY,
        body.len(),
    )
    .into_bytes()
}

async fn send_raw(sandbox: &Running, request: &[u8]) -> TcpStream {
    let address = sandbox.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test]
async fn resets_the_connection_on_demand() {
    let sandbox = Running::start().await;
    let mut stream = send_raw(&sandbox, &raw(seed::RESET, "reset-0001")).await;
    let mut received = Vec::new();
    let error =
        timeout(LONG, stream.read_to_end(&mut received)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(received.is_empty());
    let list = sandbox.get(&shared(seed::RESET), seed::PARTNER_KEY);
    assert!(timeout(LONG, list.send()).await.unwrap().is_err());
    assert_eq!(sandbox.handle.requests()[0].status, None);
}

#[tokio::test]
async fn closes_after_half_a_json_on_demand() {
    let sandbox = Running::start().await;
    for _ in 0..2 {
        let mut stream = send_raw(&sandbox, &raw(seed::HALF_ANSWERED, "half-0001")).await;
        let mut received = Vec::new();
        timeout(LONG, stream.read_to_end(&mut received)).await.unwrap().unwrap();
        let received = String::from_utf8(received).unwrap();
        let (head, body) = received.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let whole = format!(r#"{{"data":{{"id":"{}"}}}}"#, seed::HALF_ANSWERED);
        assert!(head.contains(&format!("content-length: {}\r\n", whole.len())), "{head}");
        assert_eq!(body, &whole[..whole.len() / 2]);
    }
    let list = sandbox.get(&shared(seed::HALF_ANSWERED), seed::PARTNER_KEY);
    let list = timeout(LONG, list.send()).await.unwrap().unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    assert!(list.text().await.is_err());
}

#[tokio::test]
async fn frees_a_key_in_flight_when_its_client_disconnects() {
    let sandbox = Running::start().await;
    let path = shared(seed::NEVER_ANSWERED);
    let request = raw(seed::NEVER_ANSWERED, "held-0001");
    let first = send_raw(&sandbox, &request).await;
    let create =
        || sandbox.post(&path, third_child()).header("idempotency-key", "held-0001");
    let is_held = || create().timeout(Duration::from_millis(200)).send();
    until(|| sandbox.handle.requests().len() == 1).await;
    while !matches!(is_held().await, Ok(response) if response.status() == 409) {}
    drop(first);
    let freed =
        async { while !is_held().await.is_err_and(|error| error.is_timeout()) {} };
    timeout(LONG, freed).await.unwrap();
}

#[tokio::test]
async fn completes_a_create_whose_client_disconnected() {
    let sandbox = Running::start().await;
    for attempt in 0..50 {
        let key = format!("hung-up-{attempt}");
        drop(send_raw(&sandbox, &raw(seed::UNSHARED_CONNECTION, &key)).await);
    }
    until(|| sandbox.handle.shares().len() == 53).await;
    let lost = sandbox.create().header("idempotency-key", "hung-up-0");
    let found = data(lost).await["id"].clone();
    let shares = sandbox.handle.shares();
    assert_eq!(shares.len(), 53);
    assert!(shares.iter().any(|share| found == share.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn makes_each_share_once_under_many_clients() {
    const PAIRS: usize = 16;
    const EACH: usize = 100;
    let sandbox = Arc::new(Running::start().await);
    let mut clients = JoinSet::new();
    for client in 0..2 * PAIRS {
        let sandbox = Arc::clone(&sandbox);
        clients.spawn(async move {
            for attempt in 0..EACH {
                // Two clients send every create at about the same time.
                let key = format!("create-{}-{attempt}", client / 2);
                let create = sandbox.create().header("idempotency-key", key);
                let status = create.send().await.unwrap().status();
                let expected = [StatusCode::OK, StatusCode::CONFLICT];
                assert!(expected.contains(&status), "{status}");
            }
        });
    }
    clients.join_all().await;
    let mut ids: Vec<_> = sandbox.handle.shares().into_iter().map(|it| it.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3 + PAIRS * EACH);
    assert_eq!(sandbox.handle.requests().len(), 2 * PAIRS * EACH);
}

#[tokio::test]
async fn serves_pipelined_requests_in_order() {
    let sandbox = Running::start().await;
    let mut requests = raw(seed::UNSHARED_CONNECTION, "pipelined-1");
    requests.extend(raw(seed::RESET, "pipelined-2"));
    let mut stream = send_raw(&sandbox, &requests).await;
    let mut received = Vec::new();
    let end = timeout(LONG, stream.read_to_end(&mut received)).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let received = String::from_utf8(received).unwrap();
    let (_, body) = received.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["data"]["id"], sandbox.handle.shares()[3].id);
}

#[tokio::test]
async fn stops_although_clients_still_wait() {
    let sandbox = Running::start().await;
    let mut held = send_raw(&sandbox, &raw(seed::NEVER_ANSWERED, "held-0001")).await;
    let mut stuck = send_raw(&sandbox, &raw(seed::RESET, "stuck-0001")[..40]).await;
    rejection(sandbox.get("/", seed::PARTNER_KEY)).await;
    until(|| sandbox.handle.requests().len() == 2).await;
    sandbox.stop.send(()).unwrap();
    timeout(LONG, sandbox.served).await.unwrap().unwrap();
    for stream in [&mut held, &mut stuck] {
        let mut received = Vec::new();
        drop(timeout(LONG, stream.read_to_end(&mut received)).await.unwrap());
        assert!(received.is_empty());
    }
    let closed = sandbox.client.get(&sandbox.url).send().await.unwrap_err();
    assert!(closed.is_connect(), "{:?}", closed.source());
    assert_eq!(sandbox.handle.shares().len(), 3);
}
