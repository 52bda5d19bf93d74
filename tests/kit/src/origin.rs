//! An upstream that serves any number of requests at the same time, on one connection
//! too. A [`Fake`](crate::Fake) plays one script after the other.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpSocket, lookup_host},
    sync::mpsc,
};

use crate::{HOST, Protocol, tls::Authority};

/// The body of a response.
pub type Body = BoxBody<Bytes, Infallible>;

/// The sender of a body whose parts a test sends one after the other. The body ends when
/// it is dropped.
pub type Parts = mpsc::Sender<Bytes>;

/// The rest of a body: the next part is asked for once the one before has been taken.
pub type Taken = mpsc::Receiver<Bytes>;

/// Returns what sends the parts of a body, and the body.
pub fn parts() -> (Parts, Taken) {
    mpsc::channel(1)
}

/// Returns a response with a body of JSON that arrives in parts.
pub fn json_in_parts(mut taken: Taken) -> Response<Body> {
    let frames = poll_fn(move |cx| {
        let part = taken.poll_recv(cx);
        part.map(|part| part.map(|part| Ok(Frame::data(part))))
    });
    let body = StreamBody::new(frames).boxed();
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// A running upstream. It lives until the test's runtime ends.
pub struct Origin {
    url: String,
    authority: Option<Authority>,
}

impl Origin {
    /// Starts an upstream that responds to each request by its path.
    pub async fn start<R>(
        protocol: Protocol,
        respond: impl Fn(String) -> R + Clone + Send + 'static,
    ) -> Self
    where
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let address = lookup_host((HOST, 0)).await.unwrap().next().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        // Inherited by connections. The default hides megabytes that nobody has read.
        socket.set_send_buffer_size(SEND_BUFFER).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let authority = (protocol == Protocol::Http2).then(Authority::new);
        let acceptor = authority.as_ref().map(|authority| authority.server(protocol));
        let scheme = if authority.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, respond) = (acceptor.clone(), respond.clone());
                tokio::spawn(async move {
                    let serve = service_fn(move |request: Request<Incoming>| {
                        let response = respond(request.uri().path().to_owned());
                        async move { Ok::<_, Infallible>(response.await) }
                    });
                    // A client may close the connection whenever it likes.
                    let Some(acceptor) = acceptor else {
                        let io = TokioIo::new(stream);
                        let _ = http1::Builder::new().serve_connection(io, serve).await;
                        return;
                    };
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .max_concurrent_streams(1000)
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        Self { url: format!("{scheme}://{address}"), authority }
    }

    /// Returns the flags of a gateway on this upstream.
    pub fn flags(&self) -> Vec<&str> {
        let mut flags = vec!["--upstream-url", &*self.url];
        if let Some(authority) = &self.authority {
            flags.extend(["--upstream-ca-file", authority.file()]);
        }
        flags
    }
}

/// Returns a response with a JSON body, whose length is stated or not.
pub fn json(body: &Bytes, states_length: bool) -> Response<Body> {
    let body = if states_length {
        Full::new(body.clone()).boxed()
    } else {
        let parts: Vec<_> = (0..body.len())
            .step_by(PART)
            .map(|start| body.slice(start..body.len().min(start + PART)))
            .map(|part| Ok::<_, Infallible>(Frame::data(part)))
            .collect();
        StreamBody::new(futures_util::stream::iter(parts)).boxed()
    };
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// Bytes in the socket of a connection, which Linux doubles.
const SEND_BUFFER: u32 = 64 * 1024;

/// Bytes of a part of a body whose length is not stated.
const PART: usize = 16 * 1024;
