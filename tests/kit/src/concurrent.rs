//! An upstream that serves many requests at once, on libraries that behave as those of
//! real servers do.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    HOST, Protocol,
    fake::{CREATED, LISTED},
    tls::Authority,
};

/// An upstream. It holds the requests of keys with the word `held` until it is released.
pub struct Concurrent {
    url: String,
    authority: Authority,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    released: watch::Sender<bool>,
    /// Changes when all connections are to end.
    retired: watch::Sender<()>,
    /// Requests by connection.
    seen: Mutex<Vec<usize>>,
    open_connections: AtomicUsize,
    /// Requests without a response, by key.
    active: Mutex<HashMap<String, usize>>,
    /// The most requests of one connection that were active together.
    peak: AtomicUsize,
}

/// A request without a response.
struct Active {
    state: Arc<State>,
    key: String,
    of_connection: Arc<AtomicUsize>,
}

impl Concurrent {
    /// Starts an upstream. Over HTTP/2 it allows as many streams per connection.
    pub async fn start(protocol: Protocol, streams: u32) -> Self {
        let authority = Authority::new();
        let acceptor = (protocol == Protocol::Http2).then(|| authority.server(protocol));
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            released: watch::Sender::new(false),
            retired: watch::Sender::new(()),
            seen: Mutex::default(),
            open_connections: AtomicUsize::default(),
            active: Mutex::default(),
            peak: AtomicUsize::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(state.connection(stream, acceptor.clone(), streams));
            }
        });
        Self { url, authority, state, accepting }
    }

    /// Returns the flags of a gateway on this upstream.
    pub fn flags(&self) -> Vec<&str> {
        let mut flags = vec!["--upstream-url", &self.url];
        if self.url.starts_with("https:") {
            flags.extend(["--upstream-ca-file", self.authority.file()]);
        }
        flags
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.url.rsplit('/').next().unwrap().parse().unwrap()
    }

    /// Returns the path of the authority's certificate.
    pub fn authority(&self) -> &str {
        self.authority.file()
    }

    /// Responds to all requests.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Refuses further connections.
    pub async fn stop_accepting(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// Sends GOAWAY on the HTTP/2 connections that are open now.
    pub fn retire(&self) {
        self.state.retired.send_replace(());
    }

    /// Returns how many requests of a key have no response.
    pub fn active(&self, key: &str) -> usize {
        self.state.active.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    /// Returns how many requests it has seen.
    pub fn seen(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Returns how many connections have carried requests.
    pub fn connections(&self) -> usize {
        let mut seen = self.state.seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    }

    /// Returns how many connections are open.
    pub fn open_connections(&self) -> usize {
        self.state.open_connections.load(SeqCst)
    }

    /// Returns the most requests that were active together on one connection.
    pub fn peak(&self) -> usize {
        self.state.peak.load(SeqCst)
    }
}

impl State {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        streams: u32,
    ) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let id = NEXT.fetch_add(1, SeqCst);
        let of_connection = Arc::<AtomicUsize>::default();
        let state = Arc::clone(&self);
        let service = service_fn(move |request| {
            respond(Arc::clone(&state), id, Arc::clone(&of_connection), request)
        });
        let mut retired = self.retired.subscribe();
        self.open_connections.fetch_add(1, SeqCst);
        // A client may close a connection whenever it likes.
        if let Some(acceptor) = acceptor {
            if let Ok(stream) = acceptor.accept(stream).await {
                let serving = http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(streams)
                    .serve_connection(TokioIo::new(stream), service);
                let mut serving = pin!(serving);
                tokio::select! {
                    _ = serving.as_mut() => {}
                    _ = retired.changed() => {
                        serving.as_mut().graceful_shutdown();
                        let _ = serving.await;
                    }
                }
            }
        } else {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
        self.open_connections.fetch_sub(1, SeqCst);
    }
}

async fn respond(
    state: Arc<State>,
    connection: usize,
    of_connection: Arc<AtomicUsize>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned();
    state.seen.lock().unwrap().push(connection);
    let mut released = state.released.subscribe();
    let is_held = key.contains("held");
    let active = Active::new(state, key, of_connection);
    let body = if request.method() == Method::POST { CREATED } else { LISTED };
    // A request that is reset has no body.
    let _ = request.into_body().collect().await;
    if is_held {
        released.wait_for(|released| *released).await.unwrap();
    }
    drop(active);
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::from(body)).unwrap())
}

impl Active {
    fn new(state: Arc<State>, key: String, of_connection: Arc<AtomicUsize>) -> Self {
        *state.active.lock().unwrap().entry(key.clone()).or_default() += 1;
        let active = of_connection.fetch_add(1, SeqCst) + 1;
        state.peak.fetch_max(active, SeqCst);
        Self { state, key, of_connection }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        *self.state.active.lock().unwrap().get_mut(&self.key).unwrap() -= 1;
        self.of_connection.fetch_sub(1, SeqCst);
    }
}
