//! An HTTP/2 front of an upstream that speaks HTTP/1.1, as a load balancer is.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Client, redirect};
use tokio::net::TcpListener;

use crate::{HOST, Protocol, tls::Authority};

/// A front that forwards every request to one upstream.
pub struct Front {
    url: String,
    authority: Authority,
}

impl Front {
    /// Starts a front of the upstream with this base URL.
    pub async fn start(upstream: String) -> Self {
        let authority = Authority::new();
        let acceptor = authority.server(Protocol::Http2);
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
        let client = client.build().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client) = (acceptor.clone(), client.clone());
                let upstream = upstream.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let forward = service_fn(|request| {
                        forward(client.clone(), upstream.clone(), request)
                    });
                    // A client may close the connection whenever it likes.
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), forward)
                        .await;
                });
            }
        });
        Self { url, authority }
    }

    /// Returns the flags of a gateway on this front.
    pub fn flags(&self) -> [&str; 4] {
        ["--upstream-url", &self.url, "--upstream-ca-file", self.authority.file()]
    }
}

async fn forward(
    client: Client,
    upstream: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let url = format!("{upstream}{}", head.uri.path_and_query().unwrap());
    let Ok(body) = body.collect().await else { return Ok(bad_gateway()) };
    let body = body.to_bytes();
    let request = client.request(head.method, url).headers(head.headers).body(body);
    let Ok(received) = request.send().await else { return Ok(bad_gateway()) };
    let mut response = Response::builder().status(received.status());
    *response.headers_mut().unwrap() = end_to_end(received.headers().clone());
    let Ok(body) = received.bytes().await else { return Ok(bad_gateway()) };
    Ok(response.body(Full::new(body)).unwrap())
}

fn bad_gateway() -> Response<Full<Bytes>> {
    Response::builder().status(502).body(Full::default()).unwrap()
}

/// Removes what HTTP/2 forbids: the headers about an HTTP/1.1 connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
