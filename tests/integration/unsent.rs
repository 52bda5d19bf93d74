//! Creates that are given up: whether anything of them can have been sent is
//! known, and told.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    time::{Instant, timeout},
};
use tonic::Code;

use crate::support::{
    Caller, Fake, Gateway,
    caller::Reply,
    fake::{Script, Step},
    tls::Authority,
};

const HOST: &str = "127.0.0.1";
const NOW: [i32; 2] = [2020, 2120];

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// An upstream with which no TLS handshake comes to an end: the system takes the
/// connection, and nobody answers on it.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[track_caller]
fn assert_told(reply: &Reply, reason: &str, attempts: &str, outcome: &str) {
    assert_eq!(reply.code(), Code::DeadlineExceeded, "{}", reply.message());
    assert_eq!(reply.reason(), reason);
    assert_eq!(reply.error_metadata("attempts").as_deref(), Some(attempts));
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some(outcome));
    assert!(reply.error_metadata("idempotencyKey").is_some());
}

#[tokio::test]
async fn a_create_that_found_no_connection_by_its_deadline_was_not_sent() {
    let (_listener, url) = mute().await;
    let gateway = Gateway::at(&url, &[]).await;
    let started = Instant::now();
    let reply = Caller::create(gateway.address).with("grpc-timeout", "500m").send().await;
    assert!(started.elapsed() < Duration::from_secs(4), "not the limit of connects");
    assert_told(&reply, "DEADLINE_EXCEEDED", "1", "NOT_SENT");
    assert!(reply.message().contains("Nothing was sent"), "{}", reply.message());
}

#[tokio::test]
async fn a_create_that_found_no_connection_by_the_gateways_limit_was_not_sent() {
    let (_listener, url) = mute().await;
    let gateway = Gateway::at(&url, &["--timeout", "0.5"]).await;
    let reply = Caller::create(gateway.address).send().await;
    assert_told(&reply, "UPSTREAM_TIMEOUT", "1", "NOT_SENT");
}

#[tokio::test]
async fn attempts_that_found_no_connection_were_not_sent() {
    let (_listener, url) = mute().await;
    let flags = ["--timeout", "5", "--attempt-timeout", "0.3"];
    let gateway = Gateway::at(&url, &flags).await;
    let reply = Caller::create(gateway.address).with("grpc-timeout", "2S").send().await;
    assert_told(&reply, "DEADLINE_EXCEEDED", "3", "NOT_SENT");
}

#[tokio::test]
async fn a_create_whose_answer_stalls_stays_in_doubt() {
    let authority = Authority::new();
    let ca = ["--upstream-ca-file", authority.file()];
    for h2 in [false, true] {
        let fake = Fake::playing(Script {
            reactions: vec![vec![Step::Stall]],
            tls: Some(authority.server(HOST, NOW, h2)),
            h2,
            ..Script::default()
        })
        .await;
        let gateway = Gateway::with(&fake, &ca).await;
        let reply =
            Caller::create(gateway.address).with("grpc-timeout", "2S").send().await;
        assert_eq!(fake.seen().len(), 1);
        assert_told(&reply, "DEADLINE_EXCEEDED", "1", "UNKNOWN");
    }
}

#[tokio::test]
async fn a_create_in_doubt_stays_so_when_nothing_of_its_repeat_is_sent() {
    let authority = Authority::new();
    let acceptor = authority.server(HOST, NOW, false);
    let (listener, url) = mute().await;
    let upstream = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            request.push(stream.read_u8().await.unwrap());
        }
        // The connection ends here; the next is taken, and not answered on.
        listener
    });
    let gateway = Gateway::at(&url, &["--upstream-ca-file", authority.file()]).await;
    let reply = Caller::create(gateway.address).with("grpc-timeout", "3S").send().await;
    assert_told(&reply, "DEADLINE_EXCEEDED", "2", "UNKNOWN");
    drop(timeout(LONG, upstream).await.unwrap().unwrap());
}

/// HTTP/1 is looked at where the create's other headers are.
#[tokio::test]
async fn the_length_of_a_create_is_told_over_http_2() {
    let authority = Authority::new();
    let acceptor = authority.server(HOST, NOW, true);
    let (listener, url) = mute().await;
    let upstream = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let (head, mut body) = request.into_parts();
        let answered = tokio::spawn(async move {
            let mut received = 0;
            while let Some(data) = body.data().await {
                received += data.unwrap().len();
            }
            let answer = http::Response::new(());
            let mut answer = respond.send_response(answer, false).unwrap();
            let body = br#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;
            answer.send_data(body.as_slice().into(), true).unwrap();
            received
        });
        while let Some(request) = connection.accept().await {
            let _ = request;
        }
        (head.headers, answered.await.unwrap())
    });
    let gateway = Gateway::at(&url, &["--upstream-ca-file", authority.file()]).await;
    let reply = Caller::create(gateway.address).send().await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    gateway.stop().await;
    let (headers, received) = timeout(LONG, upstream).await.unwrap().unwrap();
    assert!(received > 0);
    assert_eq!(headers["content-length"], received.to_string());
    assert!(!headers.contains_key("transfer-encoding"));
}
