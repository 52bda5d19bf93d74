//! The port of the pages, and the limits of its connections.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Sources, pages::Pages};

/// Maximum open connections: enough for probes, a browser and some scrapers.
const CONNECTIONS: usize = 64;

/// Maximum time of a connection, which carries one request. A browser that reads slowly
/// has enough; a peer that sends or reads nothing holds no memory for longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes of the head of a request, and of what is buffered of a response.
const BUFFER: usize = 16 * 1024;

/// Maximum number of headers of a request. Browsers send about 20.
const HEADERS: usize = 64;

/// Delay after a failed accept: most likely there are no file descriptors left. The
/// server's own accept loop logs that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The open connections, the oldest first.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest: VecDeque<AbortHandle>,
}

impl Listener {
    /// Listens on an address. Port 0 stands for any free port.
    ///
    /// # Errors
    ///
    /// If the system does not allow to listen on the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns the address and port that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the future is dropped, and closes all connections then.
    pub async fn serve(self, sources: Sources) {
        let pages = Arc::new(Pages::new(sources));
        let mut connections = Connections::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    connections.add(serve(stream, peer, Arc::clone(&pages)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

impl Connections {
    /// Serves a connection. At the limit, the oldest ends for it: peers that send nothing
    /// must not lock probes out, whose failure would restart the gateway.
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest.retain(|task| !task.is_finished());
        if self.oldest.len() >= CONNECTIONS
            && let Some(oldest) = self.oldest.pop_front()
        {
            oldest.abort();
        }
        self.oldest.push_back(self.tasks.spawn(connection));
    }
}

/// Serves one request on a connection. A new one for each costs little at the rate of
/// probes, and there are no idle ones to limit.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    pages: Arc<Pages>,
) {
    let service = service_fn(|request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, std::convert::Infallible>(pages.respond(peer, request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        // The timeout of the connection is shorter than any other.
        .header_read_timeout(None::<Duration>)
        .serve_connection(TokioIo::new(stream), service);
    // A peer that breaks HTTP or leaves early concerns nobody else.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::{super::Setting, *};

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    async fn exchange(request: &[u8]) -> String {
        exchange_with(Sources::for_tests().await, request).await
    }

    async fn exchange_with(sources: Sources, request: &[u8]) -> String {
        exchange_from(PEER, sources, request).await
    }

    /// Sends bytes and returns the response, until the gateway closes the connection.
    async fn exchange_from(
        address: SocketAddr,
        sources: Sources,
        request: &[u8],
    ) -> String {
        let (mut peer, stream) = duplex(1 << 20);
        let pages = Arc::new(Pages::new(sources));
        let serving = tokio::spawn(serve(stream, address, pages));
        peer.write_all(request).await.unwrap();
        let mut response = String::new();
        peer.read_to_string(&mut response).await.unwrap();
        serving.await.unwrap();
        response
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_sends_no_whole_request_is_closed() {
        for half in ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nhost: 127"] {
            let started = Instant::now();
            assert_eq!(exchange(half.as_bytes()).await, "", "{half}");
            assert_eq!(started.elapsed(), CONNECTION_TIMEOUT, "{half}");
        }
        let body =
            "PUT /loglevel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nin";
        assert_eq!(exchange(body.as_bytes()).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn large_head_is_rejected() {
        let padding = "a".repeat(BUFFER);
        let long =
            format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {padding}\r\n\r\n");
        let many =
            format!("GET /livez HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(HEADERS + 1));
        for request in [long, many] {
            let response = exchange(request.as_bytes()).await;
            assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
        }
    }

    #[tokio::test]
    async fn metrics_and_settings_have_the_format_that_is_asked_for() {
        let setting = |name: &str, value: Option<&str>| Setting {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            source: "flag".to_owned(),
        };
        let mut sources = Sources::for_tests().await;
        sources.settings =
            [setting("timeout", None), setting("log", Some("\"\n"))].into();
        sources.configuration = "timeout = \"5s\" # default\n".into();
        let metrics = sources.metrics.clone();
        let json = r#"[{"name":"timeout","value":null,"source":"flag"},{"name":"log","value":"\"\n","source":"flag"}]"#;
        for (path, accept, content_type, body) in [
            (
                "/metrics",
                "*/*",
                "text/plain; version=0.0.4; charset=utf-8",
                &*metrics.render(false),
            ),
            (
                "/metrics",
                "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                &*metrics.render(true),
            ),
            (
                "/configz",
                "*/*",
                "text/plain; charset=utf-8",
                "timeout = \"5s\" # default\n",
            ),
            ("/configz", "application/json", "application/json", json),
        ] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n"
            );
            let response = exchange_with(sources.clone(), request.as_bytes()).await;
            let (head, shown) = response.split_once("\r\n\r\n").unwrap();
            let header = format!("\r\ncontent-type: {content_type}\r\n");
            assert!(head.contains(&header), "{path} {accept}: {head}");
            // Of metrics all but the values: the process goes on.
            let comments = |text: &str| -> Vec<String> {
                let comments = text.lines().filter(|line| line.starts_with('#'));
                comments.map(str::to_owned).collect()
            };
            if path == "/metrics" {
                assert_eq!(comments(shown), comments(body), "{accept}");
            } else {
                assert_eq!(shown, body, "{path} {accept}");
            }
        }
    }

    #[tokio::test]
    async fn only_monitoring_of_other_machines_uses_names() {
        let sources = Sources::for_tests().await;
        for (path, is_for_monitoring) in [
            ("/", false),
            ("/style.css", false),
            ("/configz", false),
            ("/loglevel", false),
            ("/nope", false),
            ("/livez", true),
            ("/readyz", true),
            ("/metrics", true),
        ] {
            for (peer, may_be_named) in
                [("127.0.0.1:1", false), ("10.0.0.7:1", is_for_monitoring)]
            {
                let ask = async |host: &str| {
                    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
                    let peer = peer.parse().unwrap();
                    exchange_from(peer, sources.clone(), request.as_bytes()).await
                };
                let is_misdirected =
                    |response: String| response.starts_with("HTTP/1.1 421 ");
                let named = ask("gateway.example:9464").await;
                assert_eq!(is_misdirected(named), !may_be_named, "{path} {peer}");
                assert!(!is_misdirected(ask("10.0.0.1:9464").await), "{path} {peer}");
            }
        }
    }

    #[tokio::test]
    async fn body_that_is_too_long_differs_from_one_that_is_malformed() {
        for (body, status) in [
            ("content-length: 1025\r\n\r\n".to_owned() + &"a".repeat(1025), 413),
            ("transfer-encoding: chunked\r\n\r\nno size\r\n".to_owned(), 400),
        ] {
            let request = format!("PUT /loglevel HTTP/1.1\r\nhost: localhost\r\n{body}");
            let response = exchange(request.as_bytes()).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&expected), "{response}");
        }
    }

    #[tokio::test]
    async fn connection_over_the_limit_ends_the_oldest() {
        let mut connections = Connections::default();
        let (sender, oldest) = tokio::sync::oneshot::channel::<()>();
        connections.add(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        for _ in 1..CONNECTIONS {
            connections.add(std::future::pending());
        }
        assert_eq!(connections.tasks.len(), CONNECTIONS);
        connections.add(std::future::pending());
        assert!(oldest.await.is_err(), "the oldest has ended");
        connections.add(std::future::ready(()));
        assert_eq!(connections.oldest.len(), CONNECTIONS);
    }
}
