//! The gateway's own certificate, for an upstream that asks for one.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kit::{
    Caller, Gateway, Protocol,
    fake::LISTED,
    over_both,
    tls::{Authority, TlsFiles, VALID},
};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer};
use tonic::Code;

const CLIENT: &str = "gateway.example.com";

/// An upstream that requires a certificate of its clients.
struct Upstream {
    url: String,
    /// The certificate of the client of each connection.
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Upstream {
    async fn start(acceptor: TlsAcceptor, protocol: Protocol) -> Self {
        let listener = TcpListener::bind((kit::HOST, 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shown = Arc::<Mutex<Vec<_>>>::default();
        let connected = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connected) = (acceptor.clone(), Arc::clone(&connected));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let chain = stream.get_ref().1.peer_certificates().unwrap();
                    connected.lock().unwrap().push(chain[0].clone().into_owned());
                    let io = TokioIo::new(stream);
                    let serve = service_fn(async |_| {
                        let body = Full::new(Bytes::from_static(LISTED.as_bytes()));
                        let mut response = http::Response::new(body);
                        let json = http::HeaderValue::from_static("application/json");
                        response.headers_mut().insert("content-type", json);
                        Ok::<_, Infallible>(response)
                    });
                    // The gateway may close the connection whenever it likes.
                    if protocol == Protocol::Http2 {
                        let executor = TokioExecutor::new();
                        let server = http2::Builder::new(executor);
                        let _ = server.serve_connection(io, serve).await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(io, serve).await;
                    }
                });
            }
        });
        Self { url, shown }
    }

    fn last_shown(&self) -> CertificateDer<'static> {
        self.shown.lock().unwrap().last().unwrap().clone()
    }
}

async fn list(gateway: &Gateway) -> Code {
    Caller::list(gateway.address).send().await.code()
}

#[tokio::test]
async fn upstream_sees_the_certificate_of_the_gateway_also_after_a_rotation() {
    over_both(async |protocol| {
        let authority = Authority::new();
        let server = authority.issue(&[kit::HOST], VALID);
        let acceptor = authority.mutual(&server, protocol);
        let upstream = Upstream::start(acceptor, protocol).await;
        let intermediate = authority.intermediate();
        let issue = || intermediate.issue(&[CLIENT], VALID).with_issuer(&intermediate);
        let first = issue();
        let files = TlsFiles::new(&first, &authority);
        let age = ["--upstream-connection-age", "0.05"];
        let flags = [&files.upstream()[..], &age].concat();
        let gateway = Gateway::at(&upstream.url, &flags).await;
        assert_eq!(list(&gateway).await, Code::Ok);
        assert_eq!(upstream.last_shown(), first.leaf());

        let second = issue();
        files.put(&second, &authority);
        gateway.reload().await;
        // Old connections serve until their age.
        while upstream.last_shown() != second.leaf() {
            assert_eq!(list(&gateway).await, Code::Ok);
        }
        let [_, stats] = gateway.files().certificates();
        assert_eq!(stats.unwrap().rotations, 1);
    })
    .await;
}

#[tokio::test]
async fn upstream_that_requires_a_certificate_is_unreachable_without() {
    over_both(async |protocol| {
        let authority = Authority::new();
        let server = authority.issue(&[kit::HOST], VALID);
        let acceptor = authority.mutual(&server, protocol);
        let upstream = Upstream::start(acceptor, protocol).await;
        let foreign = Authority::new().issue(&[CLIENT], VALID);
        let files = TlsFiles::new(&foreign, &authority);
        let [.., ca_flag, ca] = files.upstream();
        for flags in [&[ca_flag, ca][..], &files.upstream()] {
            let flags = [flags, &["--attempts", "1"]].concat();
            let gateway = Gateway::at(&upstream.url, &flags).await;
            let reply = Caller::list(gateway.address).send().await;
            assert_eq!(reply.code(), Code::Unavailable);
        }
        assert!(upstream.shown.lock().unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn authority_that_is_replaced_counts_for_new_connections() {
    over_both(async |protocol| {
        let (old, new) = (Authority::new(), Authority::new());
        let client = old.issue(&[CLIENT], VALID);
        let files = TlsFiles::new(&client, &old);
        let upstream = {
            let shown = new.issue(&[kit::HOST], VALID);
            Upstream::start(old.mutual(&shown, protocol), protocol).await
        };
        let flags = [&files.upstream()[..], &["--attempts", "1"]].concat();
        let gateway = Gateway::at(&upstream.url, &flags).await;
        assert_eq!(list(&gateway).await, Code::Unavailable);
        files.put(&client, &new);
        gateway.reload().await;
        // The circuit may be open for a moment, or a connection may be paused.
        let mut code = list(&gateway).await;
        while code == Code::Unavailable {
            tokio::task::yield_now().await;
            code = list(&gateway).await;
        }
        assert_eq!(code, Code::Ok);
    })
    .await;
}
