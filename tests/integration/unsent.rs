//! Creates that time out: the gateway knows whether it has sent any of the request,
//! and reports it.

use kit::{
    Caller, Fake, Gateway, HANG_GUARD, HOST, Protocol,
    caller::Reply,
    fake::{Script, Step},
    frames::{
        DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PREFACE, SETTINGS, fields, frame,
        parse,
    },
    over_both,
    tls::{self, Authority},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tonic::Code;

/// Starts an upstream that completes no TLS handshake: the system accepts its
/// connections, and no program reads from them.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[track_caller]
fn assert_reported(reply: &Reply, reason: &str, attempts: &str, outcome: &str) {
    assert_eq!(reply.code(), Code::DeadlineExceeded, "{}", reply.message());
    assert_eq!(reply.reason(), reason);
    assert_eq!(reply.error_metadata("attempts").as_deref(), Some(attempts));
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some(outcome));
    assert!(reply.error_metadata("idempotencyKey").is_some());
}

#[tokio::test]
async fn create_without_a_connection_by_its_deadline_is_not_sent() {
    let (_listener, url) = mute().await;
    let gateway = Gateway::at(&url, &["--connect-timeout", "3600"]).await;
    let reply = Caller::create(gateway.address).with("grpc-timeout", "500m").send().await;
    assert_reported(&reply, "DEADLINE_EXCEEDED", "1", "NOT_SENT");
    assert!(reply.message().contains("Nothing was sent"), "{}", reply.message());
}

#[tokio::test]
async fn create_without_a_connection_by_the_timeout_is_not_sent() {
    let (_listener, url) = mute().await;
    let gateway = Gateway::at(&url, &["--timeout", "0.5"]).await;
    let reply = Caller::create(gateway.address).send().await;
    assert_reported(&reply, "UPSTREAM_TIMEOUT", "1", "NOT_SENT");
}

#[tokio::test]
async fn attempts_without_a_connection_are_not_sent() {
    let (_listener, url) = mute().await;
    let flags = ["--timeout", "5", "--attempt-timeout", "0.3"];
    let gateway = Gateway::at(&url, &flags).await;
    let reply = Caller::create(gateway.address).with("grpc-timeout", "2S").send().await;
    assert_reported(&reply, "DEADLINE_EXCEEDED", "3", "NOT_SENT");
}

#[tokio::test]
async fn create_without_a_response_has_an_unknown_outcome() {
    over_both(async |protocol| {
        let fake = Fake::playing(Script::new(protocol, vec![vec![Step::Stall]])).await;
        let gateway = Gateway::on(&fake).await;
        let reply =
            Caller::create(gateway.address).with("grpc-timeout", "2S").send().await;
        assert!(fake.only().line.starts_with("POST "));
        assert_reported(&reply, "DEADLINE_EXCEEDED", "1", "UNKNOWN");
    })
    .await;
}

#[tokio::test]
async fn unknown_outcome_stays_when_the_retry_is_not_sent() {
    let authority = Authority::new();
    let acceptor = authority.server(Protocol::Http1);
    let (listener, url) = mute().await;
    let upstream = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            request.push(stream.read_u8().await.unwrap());
        }
        // The connection ends here. No program reads from the next one.
        listener
    });
    let gateway = Gateway::at(&url, &["--upstream-ca-file", authority.file()]).await;
    let reply = Caller::create(gateway.address).with("grpc-timeout", "3S").send().await;
    assert_reported(&reply, "DEADLINE_EXCEEDED", "2", "UNKNOWN");
    drop(timeout(HANG_GUARD, upstream).await.unwrap().unwrap());
}

/// The head of a success, whose body follows.
fn head(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Http1 => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
        }
        Protocol::Http2 => {
            let fields =
                fields([(":status", "200"), ("content-type", "application/json")]);
            frame(HEADERS, END_HEADERS, 1, &fields)
        }
    }
}

/// Reads a request to its end.
async fn read_request<S>(stream: &mut S, protocol: Protocol)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    if protocol == Protocol::Http1 {
        while !buffer.ends_with(b"\r\n\r\n") && !buffer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
        }
        return;
    }
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
    while buffer.len() < PREFACE.len() {
        assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
    }
    buffer.drain(..PREFACE.len());
    loop {
        match parse(&mut buffer) {
            Some(Frame { kind: HEADERS | DATA, flags, .. })
                if flags & END_STREAM != 0 =>
            {
                return;
            }
            Some(_) => {}
            None => assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0),
        }
    }
}

#[tokio::test]
async fn tls_alert_within_a_response_is_a_lost_connection() {
    over_both(async |protocol| {
        for (is_list, rpc) in
            [(true, Caller::list as fn(_) -> _), (false, Caller::create)]
        {
            for response in [vec![], head(protocol)] {
                let has_begun = !response.is_empty();
                let authority = Authority::new();
                let acceptor = authority.server(protocol);
                let (listener, url) = mute().await;
                let upstream = tokio::spawn(async move {
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    read_request(&mut stream, protocol).await;
                    stream.write_all(&response).await.unwrap();
                    tls::alert(&mut stream).await;
                    // Until the gateway has closed its end.
                    let mut rest = vec![0; 64 * 1024];
                    while stream.get_mut().0.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                });
                let flags = ["--upstream-ca-file", authority.file(), "--attempts", "1"];
                let gateway = Gateway::at(&url, &flags).await;
                let reply = rpc(gateway.address).send().await;
                assert_eq!(reply.reason(), "UPSTREAM_RESET", "{}", reply.message());
                let outcome = reply.error_metadata("outcome").unwrap();
                // TLS may report the alert before the head that came with it.
                let may_be_read = is_list && has_begun;
                let is_right =
                    outcome == "UNKNOWN" || may_be_read && outcome == "COMPLETED";
                assert!(is_right, "{outcome}");
                timeout(HANG_GUARD, upstream).await.unwrap().unwrap();
            }
        }
    })
    .await;
}
