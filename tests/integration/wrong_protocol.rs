//! Peers that do not speak HTTP/2, or break its limits: each leaves one line that
//! names what it was.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use kit::{
    HANG_GUARD,
    frames::{Peer, RAPID_RESET},
    process::Process,
};

const REJECTED: &str = "connections rejected";

async fn start() -> Process {
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    Process::start(&[&arguments[..], &["--handshake-timeout", "3600"]].concat(), &[])
        .await
}

/// Sends bytes and returns everything that the gateway sends until it closes.
async fn answer_to(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = String::new();
    let read = timeout(HANG_GUARD, stream.read_to_string(&mut answer)).await;
    read.expect("the connection stays open").expect("the connection is reset");
    answer
}

#[tokio::test]
async fn http1_is_told_what_the_port_speaks() {
    let process = start().await;
    let long = format!("POST / HTTP/1.1\r\nhost: x\r\n\r\n{}", "x".repeat(30_000));
    for request in [
        "GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n",
        "PUT / HTTP/1.0\r\n\r\n",
        "PROPFIND / HTTP/1.1\r\nhost: x\r\n\r\n",
        &long,
    ] {
        let answer = answer_to(process.address, request.as_bytes()).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 505 "), "{request:.20}: {answer}");
        assert!(head.contains("\r\nconnection: close"), "{answer}");
        let length = format!("\r\ncontent-length: {}", text.len());
        assert!(head.contains(&length), "{answer}");
        assert!(text.contains("gRPC over cleartext HTTP/2"), "{answer}");
    }
}

#[tokio::test]
async fn each_other_protocol_is_named_in_the_log() {
    for (sent, name) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"[..], "TLS"),
        (b"HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.x"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 50051\r\n", "the PROXY protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "the PROXY protocol"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "an unknown protocol"),
    ] {
        let process = start().await;
        answer_to(process.address, sent).await;
        process.logs(&format!("detail=\"{name} from 127.0.0.1:"), 1).await;
        process.signal("TERM").await;
        let (_, log) = process.wait().await;
        let lines: Vec<_> = log.lines().filter(|line| line.contains(REJECTED)).collect();
        let [line] = lines[..] else { panic!("{name}: {log}") };
        assert!(line.contains("WARN") && line.contains("count=1"), "{line}");
        assert!(line.contains("reason=\"wrong protocol\""), "{line}");
    }
}

#[tokio::test]
async fn many_wrong_connections_are_few_lines() {
    let process = start().await;
    for _ in 0..50 {
        answer_to(process.address, b"GET / HTTP/1.1\r\n\r\n").await;
    }
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let lines = log.lines().filter(|line| line.contains(REJECTED)).count();
    assert!((1..=10).contains(&lines), "{lines}: {log}");
}

#[tokio::test]
async fn peer_that_only_connects_leaves_no_line() {
    let process = start().await;
    assert_eq!(answer_to(process.address, b"\x16\x03\x01\x02\x00\x01\x00\x01").await, "");
    process.logs(REJECTED, 1).await;
    let mut probe = TcpStream::connect(process.address).await.unwrap();
    probe.shutdown().await.unwrap();
    assert_eq!(probe.read(&mut [0]).await.unwrap(), 0);
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    assert_eq!(log.matches(REJECTED).count(), 1, "{log}");
}

#[tokio::test]
async fn connection_ended_by_a_limit_of_http2_is_named_in_the_log() {
    let process = start().await;
    let mut peer = Peer::greet(process.address).await.unwrap();
    for round in 0..2000 {
        if peer.send(&(RAPID_RESET.round)(round)).await.is_err() {
            break;
        }
    }
    process.logs("reason=\"HTTP/2 limit or error\"", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let line = log.lines().find(|line| line.contains(REJECTED)).unwrap();
    let detail = "detail=\"too many streams were reset from 127.0.0.1:";
    assert!(line.contains(detail), "{line}");
}
