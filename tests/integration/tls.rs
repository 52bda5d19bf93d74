//! TLS on the listener: who is served, who is turned away, and whose RPC it is.

mod clients;
mod files;
mod rotation;
mod upstream;

use std::{net::SocketAddr, sync::Arc};

use kit::{
    Caller, Fake, Gateway, HANG_GUARD, Protocol,
    caller::{KEY, Reply},
    connection::Connection,
    fake::LISTED,
    frames::PREFACE,
    log::Log,
    tls::{Authority, Issued, TlsFiles, VALID},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, SupportedProtocolVersion, pki_types::ServerName, version},
};
use tonic::Code;

const EXPIRED: [i32; 2] = [2010, 2020];
const LATER: [i32; 2] = [2100, 2120];
const REJECTED: &str = "connections rejected";
const CLIENT: &str = "spiffe://mesh/ns/shop/sa/orders";

/// A gateway with TLS on a sandbox, and what its clients need.
struct Secure {
    gateway: Gateway,
    authority: Authority,
    clients: Authority,
    files: TlsFiles,
}

impl Secure {
    /// Starts a gateway that shows a certificate.
    async fn start(flags: &[&str]) -> Self {
        Self::with(|files| files.flags().to_vec(), flags).await
    }

    /// Starts a gateway that also requires certificates of clients.
    async fn mutual(flags: &[&str]) -> Self {
        Self::with(|files| files.mutual().to_vec(), flags).await
    }

    async fn with(own: impl Fn(&TlsFiles) -> Vec<&str>, flags: &[&str]) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &clients);
        let flags = [&own(&files), &["--no-key-check"][..], flags].concat();
        let gateway = Gateway::on_sandbox_with(&flags).await;
        Self { gateway, authority, clients, files }
    }

    fn connector(&self, shown: Option<&Issued>) -> TlsConnector {
        connector(self.authority.client(shown))
    }

    async fn list(&self, tls: &TlsConnector) -> Result<Reply, String> {
        let reply = Caller::list(self.gateway.address).tls(tls).try_send();
        let reply = timeout(HANG_GUARD, reply).await.expect("the RPC never ends");
        reply.map_err(|error| error.to_string())
    }
}

fn connector(config: ClientConfig) -> TlsConnector {
    TlsConnector::from(Arc::new(config))
}

fn assert_ok(reply: Result<Reply, String>) {
    assert_eq!(reply.unwrap().code(), Code::Ok);
}

const VERSIONS: [&[&SupportedProtocolVersion]; 2] =
    [&[&version::TLS12], &[&version::TLS13]];

#[tokio::test]
async fn clients_are_served_over_tls_1_2_and_1_3() {
    let secure = Secure::start(&[]).await;
    for versions in VERSIONS {
        let log = Log::keep();
        let tls = connector(secure.authority.client_of(None, versions));
        assert_ok(secure.list(&tls).await);
        let line = log.rpc().await;
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line.get("identity").is_none(), "{line}");
    }
}

#[tokio::test]
async fn plaintext_client_has_an_address_and_no_identity() {
    let log = Log::keep();
    let fake = Fake::json_over(Protocol::Http1, 200, LISTED).await;
    let gateway = Gateway::on(&fake).await;
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    let line = log.rpc().await;
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(line.get("identity").is_none(), "{line}");
}

#[tokio::test]
async fn name_in_a_client_certificate_is_logged_with_its_rpcs() {
    let secure = Secure::mutual(&[]).await;
    let intermediate = secure.clients.intermediate();
    let below = intermediate.issue(&[CLIENT], VALID).with_issuer(&intermediate);
    let issued = |name| secure.clients.issue(&[name], VALID);
    for (shown, identity) in [
        (issued(CLIENT), CLIENT),
        (below, CLIENT),
        (issued("orders.example.com"), "orders.example.com"),
        (secure.clients.issue(&[], VALID), "CN=orders"),
    ] {
        for versions in VERSIONS {
            let log = Log::keep();
            let tls = connector(secure.authority.client_of(Some(&shown), versions));
            assert_ok(secure.list(&tls).await);
            assert_eq!(log.rpc().await["identity"], identity);
            // Also of a request that does not become an RPC.
            let log = Log::keep();
            let rejected = Caller::list(secure.gateway.address).path("/no.Such/Rpc");
            assert_eq!(rejected.tls(&tls).send().await.code(), Code::Unimplemented);
            assert_eq!(log.rpc().await["identity"], identity);
        }
    }
}

#[tokio::test]
async fn client_certificate_that_is_not_valid_ends_the_connection_and_is_named() {
    let secure = Secure::mutual(&[]).await;
    let intermediate = secure.clients.intermediate();
    let issue = |years| secure.clients.issue(&[CLIENT], years);
    let cases = [
        ("none", None, "peer sent no certificates"),
        ("expired", Some(issue(EXPIRED)), "expired"),
        ("not valid yet", Some(issue(LATER)), "not valid yet"),
        ("foreign", Some(Authority::new().issue(&[CLIENT], VALID)), "invalid peer cert"),
        (
            "without its issuer",
            Some(intermediate.issue(&[CLIENT], VALID)),
            "UnknownIssuer",
        ),
        (
            "nameless",
            Some(secure.clients.issue(&["spiffe://mesh//"], VALID)),
            "has no name",
        ),
    ];
    for (case, shown, expected) in cases {
        for versions in VERSIONS {
            // Each with a gateway of its own, since a reason is logged once in 10 s.
            let log = Log::keep();
            let fake = Fake::answering([]).await;
            let flags = secure.files.mutual();
            let gateway = Gateway::with(&fake, &flags).await;
            let tls = connector(secure.authority.client_of(shown.as_ref(), versions));
            let reply = Caller::list(gateway.address).tls(&tls).try_send().await;
            assert!(reply.is_err(), "{case}: {reply:?}");
            let lines = log.events(REJECTED);
            let [line] = &lines[..] else { panic!("{case}: {lines:?}") };
            let reason = match case {
                "nameless" => "client certificate without a usable name",
                _ => "TLS handshake failed",
            };
            assert_eq!(line["reason"], reason, "{case}");
            let detail = line["detail"].as_str().unwrap();
            assert!(detail.contains(expected), "{case}: {detail}");
            assert!(detail.contains(" from 127.0.0.1:"), "{case}: {detail}");
            assert!(fake.seen().is_empty());
        }
    }
}

#[tokio::test]
async fn optional_certificate_is_checked_if_it_is_shown() {
    let secure = Secure::mutual(&["--tls-client-auth", "optional"]).await;
    let valid = secure.clients.issue(&[CLIENT], VALID);
    for (shown, identity) in [(None, None), (Some(&valid), Some(CLIENT))] {
        let log = Log::keep();
        assert_ok(secure.list(&secure.connector(shown)).await);
        let line = log.rpc().await;
        assert_eq!(line.get("identity").and_then(|name| name.as_str()), identity);
    }
    let expired = secure.clients.issue(&[CLIENT], EXPIRED);
    secure.list(&secure.connector(Some(&expired))).await.unwrap_err();
}

#[tokio::test]
async fn clients_are_not_asked_for_a_certificate_if_that_is_off() {
    let secure = Secure::mutual(&["--tls-client-auth", "off"]).await;
    let log = Log::keep();
    let foreign = Authority::new().issue(&[CLIENT], VALID);
    for shown in [None, Some(&foreign)] {
        assert_ok(secure.list(&secure.connector(shown)).await);
    }
    assert!(log.rpcs().iter().all(|line| line.get("identity").is_none()));
}

#[tokio::test]
async fn client_that_does_not_offer_http2_is_turned_away_and_named() {
    for (offered, detail) in [
        (&[][..], "no ALPN from "),
        (&["http/1.1"], "ALPN http/1.1 from "),
        (&["a\n", "b"], "ALPN a\\n, b from "),
    ] {
        let log = Log::keep();
        let secure = Secure::start(&[]).await;
        let mut config = secure.authority.client(None);
        config.alpn_protocols =
            offered.iter().map(|name| name.as_bytes().into()).collect();
        let error = secure.list(&connector(config)).await.unwrap_err();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        let lines = log.events(REJECTED);
        assert_eq!(lines[0]["reason"], "HTTP/2 not offered in TLS");
        let shown = lines[0]["detail"].as_str().unwrap();
        assert!(shown.starts_with(detail), "{shown}");
    }
}

/// Sends bytes and returns everything that the gateway sends until it closes.
async fn answer_to(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(HANG_GUARD, stream.read_to_end(&mut answer)).await;
    read.expect("the connection stays open").expect("the connection is reset");
    answer
}

#[tokio::test]
async fn peer_without_tls_is_turned_away_and_named() {
    let http2 = [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
    for (sent, detail) in [
        (&http2[..], "HTTP/2 without TLS from "),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.x without TLS from "),
        (
            b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 50051\r\n",
            "the PROXY protocol without TLS ",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "an unknown protocol without TLS from "),
    ] {
        let log = Log::keep();
        let secure = Secure::start(&[]).await;
        let answer = answer_to(secure.gateway.address, sent).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(
            answer.contains("HTTP/2 with TLS"),
            sent.starts_with(b"GET"),
            "{answer}"
        );
        let lines = log.events(REJECTED);
        assert_eq!(lines[0]["reason"], "wrong protocol");
        let shown = lines[0]["detail"].as_str().unwrap();
        assert!(shown.starts_with(detail), "{shown}");
    }
}

#[tokio::test]
async fn junk_within_and_instead_of_tls_is_turned_away() {
    let log = Log::keep();
    let secure = Secure::start(&[]).await;
    let alert = answer_to(secure.gateway.address, &[22, 3, 1, 0, 4, 1, 0, 0, 0]).await;
    assert_eq!(alert[..1], [21], "an alert");
    let socket = TcpStream::connect(secure.gateway.address).await.unwrap();
    let name = ServerName::try_from(kit::HOST).unwrap();
    let mut tls = secure.connector(None).connect(name, socket).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let closed = timeout(HANG_GUARD, tls.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(closed.unwrap(), 0, "it ends as TLS does");
    let lines = log.events(REJECTED);
    assert_eq!(lines[0]["reason"], "TLS handshake failed");
    assert!(
        lines[1]["detail"].as_str().unwrap().starts_with("HTTP/1.x within TLS from ")
    );
}

/// The beginning of a handshake.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[tokio::test]
async fn handshake_that_does_not_end_is_closed_in_time() {
    let secure = Secure::start(&["--handshake-timeout", "0.1"]).await;
    for sent in [&b""[..], &HALF_A_HELLO[..1], HALF_A_HELLO] {
        assert_eq!(answer_to(secure.gateway.address, sent).await, b"");
    }
    // So is a handshake that ends without the preface.
    let socket = TcpStream::connect(secure.gateway.address).await.unwrap();
    let name = ServerName::try_from(kit::HOST).unwrap();
    // On a slow machine the handshake itself may take too long.
    if let Ok(mut tls) = secure.connector(None).connect(name, socket).await {
        let closed = timeout(HANG_GUARD, tls.read(&mut [0])).await;
        assert!(!matches!(closed.expect("it stays open"), Ok(1..)));
    }
}

#[tokio::test]
async fn handshakes_that_do_not_end_keep_no_client_out() {
    let secure = Secure::start(&["--max-connections", "4"]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(secure.gateway.address).await.unwrap();
        stream.write_all(HALF_A_HELLO).await.unwrap();
        silent.push(stream);
    }
    assert_ok(secure.list(&secure.connector(None)).await);
}

#[tokio::test]
async fn connections_within_tls_drain_and_end_as_tls_does() {
    let secure = Secure::start(&[]).await;
    let tls = secure.connector(None);
    let opened = Connection::open_tls(secure.gateway.address, &tls).await;
    let (connection, driver) = opened.unwrap();
    let metadata = kit::caller::METADATA;
    let body = kit::caller::frame(&[]);
    connection.call(kit::caller::LIST, metadata, body).await.unwrap();
    secure.gateway.stop().await;
    // An end without the alert of TLS would be an error.
    timeout(HANG_GUARD, driver).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn certificate_gives_the_partner_key_of_static_mode_on_any_address() {
    let clients = Authority::new();
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &clients);
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), KEY).unwrap();
    let mode =
        ["--auth-mode", "static", "--partner-key-file", key.path().to_str().unwrap()];
    let flags = [&mode[..], &files.mutual(), &["--listen", "0.0.0.0:0"]].concat();
    let gateway = Gateway::on_sandbox_with(&flags).await;
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    let tls = connector(authority.client(Some(&clients.issue(&[CLIENT], VALID))));
    let reply = Caller::list(address).without("authorization").tls(&tls).send().await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    let requests = gateway.sandbox().requests();
    assert!(requests.iter().all(|request| request.headers["authorization"] == "partner"));
}
