#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use http::{Request, header::HOST};
use http_body_util::BodyExt;
use kit::HANG_GUARD;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    time::timeout,
};

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// A connection that is given back to the test.
struct Only(Connection, oneshot::Sender<Connection>);

impl Lent for Only {
    fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }

    fn give_back(self) {
        self.1.send(self.0).unwrap();
    }
}

fn request() -> Request<RequestBody> {
    let body = RequestBody::new(Some(Bytes::from_static(b"{}")), None);
    Request::post("/api").header(HOST, "polytomic.test").body(body).unwrap()
}

/// Sends a request, and reads its response. Returns the connection.
async fn exchange(connection: Connection) -> Result<Connection, SendError> {
    let (sender, returned) = oneshot::channel();
    let sending = send(Only(connection, sender), request());
    let response = timeout(HANG_GUARD, sending).await.unwrap()?;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    Ok(returned.await.unwrap())
}

async fn read_request(peer: &mut DuplexStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n{}") {
        assert_ne!(peer.read_buf(&mut read).await.unwrap(), 0);
    }
}

/// Reads a request, and responds to it.
async fn respond(peer: &mut DuplexStream) {
    read_request(peer).await;
    peer.write_all(RESPONSE).await.unwrap();
}

/// Returns a connection that has carried a request, and its peer.
async fn used() -> (Connection, DuplexStream) {
    let (near, mut peer) = duplex(1024);
    let connection = handshake(near).await.unwrap();
    let (connection, ()) = tokio::join!(exchange(connection), respond(&mut peer));
    (connection.ok().unwrap(), peer)
}

#[tokio::test]
async fn connection_carries_one_request_after_the_other() {
    let (mut connection, mut peer) = used().await;
    for _ in 0..3 {
        assert!(connection.is_ready() && !connection.is_closed());
        let (next, ()) = tokio::join!(exchange(connection), respond(&mut peer));
        connection = next.ok().unwrap();
    }
}

#[tokio::test]
async fn request_is_not_sent_if_the_peer_has_closed_or_sent_bytes() {
    for bytes in [&b""[..], RESPONSE] {
        let (connection, mut peer) = used().await;
        peer.write_all(bytes).await.unwrap();
        if bytes.is_empty() {
            peer.shutdown().await.unwrap();
        }
        let sent = exchange(connection).await;
        assert!(matches!(sent, Err(SendError::Unsent(_))));
        let mut rest = Vec::new();
        timeout(HANG_GUARD, peer.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, b"", "the peer got a part of the request");
    }
}

#[tokio::test]
async fn response_that_nobody_asked_for_is_not_taken_for_the_next() {
    // Before the first request.
    let (near, mut peer) = duplex(1024);
    let connection = handshake(near).await.unwrap();
    peer.write_all(RESPONSE).await.unwrap();
    assert!(matches!(exchange(connection).await, Err(SendError::Unsent(_))));

    // Together with the response before it.
    let (near, mut peer) = duplex(1024);
    let connection = handshake(near).await.unwrap();
    let respond_twice = async {
        read_request(&mut peer).await;
        peer.write_all(&RESPONSE.repeat(2)).await.unwrap();
    };
    let (connection, ()) = tokio::join!(exchange(connection), respond_twice);
    let sent = exchange(connection.ok().unwrap()).await;
    assert!(matches!(sent, Err(SendError::Unsent(_))));
}

#[tokio::test]
async fn check_finds_that_the_peer_has_closed() {
    let (mut connection, peer) = used().await;
    assert!(connection.check() && !connection.is_closed());
    drop(peer);
    assert!(!connection.check() && connection.is_closed() && !connection.is_ready());
}

#[tokio::test]
async fn dropped_connection_is_closed() {
    let (connection, mut peer) = used().await;
    drop(connection);
    let mut rest = Vec::new();
    timeout(HANG_GUARD, peer.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"");
}
