//! gRPC's conventions, checked on the wire.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use tokio::{net::TcpStream, time::Instant};
use tonic::Code;

use kit::{
    Caller, Fake, Gateway,
    caller::{LIST, METADATA, SERVICE, frame},
};

/// Starts a gateway with an upstream that accepts requests and never responds.
async fn silent(flags: &[&str]) -> (Gateway, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (Gateway::at(&url, flags).await, listener)
}

#[tokio::test]
async fn client_deadline_is_deadline_exceeded() {
    let (gateway, _listener) = silent(&[]).await;
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    let started = Instant::now();
    let reply = Caller::list(gateway.address).with("grpc-timeout", "200m").send().await;
    assert_eq!(reply.code(), Code::DeadlineExceeded);
    assert_eq!(reply.reason(), "DEADLINE_EXCEEDED");
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(150)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn timeout_of_the_gateway_is_deadline_exceeded() {
    let (gateway, _listener) = silent(&["--timeout", "0.2"]).await;
    let reply = Caller::create(gateway.address).send().await;
    assert_eq!(reply.code(), Code::DeadlineExceeded);
    assert_eq!(reply.reason(), "UPSTREAM_TIMEOUT");
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
}

#[tokio::test]
async fn malformed_deadline_is_an_invalid_argument() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    for timeout in ["", "1", "S", "-1S", "123456789S", "1.5S", "1s"] {
        let reply =
            Caller::list(gateway.address).with("grpc-timeout", timeout).send().await;
        assert_eq!(reply.code(), Code::InvalidArgument, "{timeout:?}");
        assert_eq!(reply.violations(), ["metadata.grpc-timeout"], "{timeout:?}");
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn rpc_timeout_replaces_a_longer_timeout() {
    let list = "ListPartnerSharedConnections=0.3";
    let (gateway, _listener) = silent(&["--timeout", "2", "--rpc-timeout", list]).await;
    // The clock now advances only while everything waits, by the next timer.
    tokio::time::pause();
    let took = async |caller: Caller, timeout: &str, code| {
        let started = Instant::now();
        let reply = caller.with("grpc-timeout", timeout).send().await;
        assert_eq!(reply.code(), Code::DeadlineExceeded);
        assert_eq!(reply.reason(), code);
        started.elapsed().as_secs_f64()
    };
    // A deadline after the timeout, one before it, and another RPC.
    let own = took(Caller::list(gateway.address), "1H", "UPSTREAM_TIMEOUT").await;
    assert!((0.3..2.0).contains(&own), "{own}");
    took(Caller::list(gateway.address), "100m", "DEADLINE_EXCEEDED").await;
    let all = took(Caller::create(gateway.address), "1H", "UPSTREAM_TIMEOUT").await;
    assert!(all >= 2.0, "{all}");
}

#[tokio::test]
async fn rpc_timeout_replaces_a_shorter_timeout() {
    let service = format!("{SERVICE}/ListPartnerSharedConnections=1.5");
    let flags = ["--timeout", "0.1", "--rpc-timeout", &service];
    let (gateway, _listener) = silent(&flags).await;
    let started = Instant::now();
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.reason(), "UPSTREAM_TIMEOUT");
    assert!(started.elapsed() >= Duration::from_millis(1500));
}

#[tokio::test]
async fn other_content_types_are_unsupported() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    for content_type in
        ["application/json", "text/plain", "application/grpcx", "application/grpc+json"]
    {
        let reply = Caller::list(gateway.address)
            .without("content-type")
            .with("content-type", content_type)
            .send()
            .await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    assert!(fake.seen().is_empty());

    let proto = Fake::json(200, "{}").await;
    let gateway = Gateway::on(&proto).await;
    let reply = Caller::list(gateway.address)
        .without("content-type")
        .with("content-type", "application/grpc+proto")
        .send()
        .await;
    assert_eq!(reply.code(), Code::Ok);
}

#[tokio::test]
async fn only_post_runs_an_rpc() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    let health = "/grpc.health.v1.Health/Check";
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        for path in [LIST, health, "/nope.Service/List", "/"] {
            let stream = TcpStream::connect(gateway.address).await.unwrap();
            let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let mut request = Request::builder()
                .method(Method::from_bytes(method.as_bytes()).unwrap())
                .uri(format!("http://gateway{path}"));
            for (name, value) in METADATA {
                request = request.header(name, value);
            }
            let request = request.body(()).unwrap();
            let (response, mut body) = send.send_request(request, false).unwrap();
            body.send_data(frame(b"").into(), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(response.headers()["allow"], "POST", "{method} {path}");
        }
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn unknown_rpc_is_unimplemented() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    let paths =
        [format!("/{SERVICE}/Nope"), "/nope.Service/List".to_owned(), "/".to_owned()];
    for path in paths {
        let reply = Caller::list(gateway.address).path(&path).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.code(), Code::Unimplemented, "{path}");
        assert_eq!(reply.reason(), "UNKNOWN_RPC", "{path}");
    }
    assert!(fake.seen().is_empty());
}

/// The paths of an RPC, of health and of reflection: each reads frames itself.
const PATHS: [&str; 4] = [
    LIST,
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Calls a path with a message that is flagged as compressed.
fn compressed(gateway: &Gateway, path: &str) -> Caller {
    let mut body = frame(b"anything");
    body[0] = 1;
    Caller::list(gateway.address).path(path).body(body)
}

#[tokio::test]
async fn unsupported_compression_is_unimplemented() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    for path in PATHS {
        for encoding in ["gzip", "snappy"] {
            let call = compressed(&gateway, path).with("grpc-encoding", encoding);
            let reply = call.send().await;
            assert_eq!(reply.code(), Code::Unimplemented, "{path}: {}", reply.message());
            assert_eq!(reply.reason(), "COMPRESSION_UNSUPPORTED", "{path}");
            let supported = reply.trailers.get("grpc-accept-encoding");
            assert_eq!(supported.unwrap(), "identity", "{path}");
        }
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn compression_that_the_headers_do_not_name_is_internal() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    for path in PATHS {
        let unnamed = compressed(&gateway, path);
        let identity = compressed(&gateway, path).with("grpc-encoding", "identity");
        for call in [unnamed, identity] {
            let reply = call.send().await;
            assert_eq!(reply.code(), Code::Internal, "{path}: {}", reply.message());
            assert_eq!(reply.reason(), "COMPRESSION_UNDECLARED", "{path}");
            assert!(reply.trailers.get("grpc-accept-encoding").is_none(), "{path}");
        }
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn message_that_is_not_compressed_is_served_whatever_the_headers_name() {
    let gateway = Gateway::on_sandbox().await;
    for encoding in ["gzip", "identity"] {
        let call = Caller::list(gateway.address).with("grpc-encoding", encoding);
        let reply = call.with("grpc-accept-encoding", "gzip").send().await;
        assert_eq!(reply.code(), Code::Ok, "{encoding}: {}", reply.message());
        assert_eq!(reply.body[0], 0, "the response is not compressed");
        assert!(reply.headers.get("grpc-encoding").is_none());
    }
}
