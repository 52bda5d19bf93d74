//! A whole gateway on loopback, between a bare HTTP/2 client and an upstream.

use std::{convert::Infallible, net::SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use polytomic_gateway::{
    app::App,
    config::{Cli, Command},
    contract::DESCRIPTOR_SET,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::serving::{Work, runtime};

/// A client with an open connection to a gateway; all of it runs on one thread.
pub(crate) struct Loopback {
    runtime: Runtime,
    client: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
}

impl Loopback {
    /// Starts an upstream and a gateway, and calls it until its caches are
    /// filled.
    pub(crate) fn new(work: Work) -> Self {
        let runtime = runtime();
        let (client, mut request) = runtime.block_on(async {
            let url = upstream_on_loopback(work).await;
            let command = format!(
                "polytomic-gateway serve --listen 127.0.0.1:0 --admin-listen off \
                 --no-key-check --upstream-url {url}"
            );
            let Command::Serve(settings) = Cli::parse_from(command.split(' ')).command
            else {
                unreachable!("the command is serve")
            };
            let app = App::bind(&settings, DESCRIPTOR_SET).await.unwrap();
            let address = app.local_addr();
            tokio::spawn(app.run(std::future::pending()));
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let path = format!("http://{address}{}", work.path());
            (client, Request::post(path).body(()).unwrap())
        });
        let mut headers = work.metadata();
        headers.insert(CONTENT_TYPE, "application/grpc".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        *request.headers_mut() = headers;
        let mut loopback =
            Self { runtime, client, request, body: frame(&work.message()) };
        for _ in 0..10 {
            loopback.call();
        }
        loopback
    }

    /// Performs one RPC; returns the length of the response message with its frame.
    pub(crate) fn call(&mut self) -> usize {
        let Self { runtime, client, request, body } = self;
        runtime.block_on(async {
            std::future::poll_fn(|context| client.poll_ready(context)).await.unwrap();
            let (response, mut stream) =
                client.send_request(request.clone(), false).unwrap();
            stream.send_data(body.clone(), true).unwrap();
            let mut incoming = response.await.unwrap().into_body();
            let mut length = 0;
            while let Some(data) = incoming.data().await {
                let data = data.unwrap();
                incoming.flow_control().release_capacity(data.len()).unwrap();
                length += data.len();
            }
            let trailers: HeaderMap = incoming.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
            length
        })
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put(message);
    frame.freeze()
}

/// Starts an upstream on loopback, whose response is the same each time. Returns its
/// URL.
async fn upstream_on_loopback(work: Work) -> String {
    let listener =
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = work.response();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let body = body.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                async { Ok::<_, Infallible>(response) }
            });
            let io = TokioIo::new(stream);
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    });
    url
}
