//! The admin listener: probes, and what operators read and change.

use std::net::SocketAddr;

use kit::{
    Caller, CredentialFiles, Fake, Gateway, HANG_GUARD,
    caller::KEY,
    held::Held,
    process::{Process, run},
    tls::{Authority, TlsFiles, VALID},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

/// Flags of a gateway with an admin listener on a free port.
const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

/// A response, as text.
#[derive(Debug)]
struct Page {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request and reads to the end of the connection.
async fn send(admin: SocketAddr, request: &str) -> Page {
    let exchange = async {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    let response = timeout(HANG_GUARD, exchange).await.expect("no response");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    Page { status, head: head.to_lowercase(), body: body.to_owned() }
}

async fn ask(admin: SocketAddr, method: &str, path: &str) -> Page {
    send(admin, &format!("{method} {path} HTTP/1.1\r\nhost: {admin}\r\n\r\n")).await
}

pub(crate) async fn get(admin: SocketAddr, path: &str) -> (u16, String) {
    let Page { status, body, .. } = ask(admin, "GET", path).await;
    (status, body)
}

pub(crate) async fn put_log_filter(
    admin: SocketAddr,
    filter: &str,
    headers: &str,
) -> (u16, String) {
    let length = filter.len();
    let request = format!(
        "PUT /loglevel HTTP/1.1\r\nhost: {admin}\r\ncontent-length: {length}\r\n\
         {headers}\r\n{filter}"
    );
    let Page { status, body, .. } = send(admin, &request).await;
    (status, body)
}

fn line(status: u16, line: &str) -> (u16, String) {
    (status, format!("{line}\n"))
}

#[tokio::test]
async fn gateway_is_ready_whatever_polytomic_does() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::with(&fake, &ADMIN).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(gateway.admin(), path).await, line(200, "ok"));
    }
    assert!(fake.seen().is_empty());
    let nowhere = Gateway::at("http://127.0.0.1:1", &ADMIN).await;
    assert_eq!(Caller::list(nowhere.address).send().await.code(), Code::Unavailable);
    assert_eq!(get(nowhere.admin(), "/readyz").await, line(200, "ok"));
}

#[tokio::test]
async fn gateway_is_ready_once_its_credentials_are_loaded() {
    let files = CredentialFiles::new("two\nlines", "the-caller-token");
    let fake = Fake::answering([]).await;
    let gateway = Gateway::with(&fake, &[&files.flags()[..], &ADMIN].concat()).await;
    let admin = gateway.admin();
    let reason = line(503, "the partner key is not loaded");
    assert_eq!(get(admin, "/readyz").await, reason);
    assert_eq!(get(admin, "/livez").await, line(200, "ok"));
    files.put_key(KEY);
    gateway.reload().await;
    assert_eq!(get(admin, "/readyz").await, line(200, "ok"));
    // The last good key stays in use.
    files.put_key("two\nlines");
    gateway.reload().await;
    assert_eq!(get(admin, "/readyz").await, line(200, "ok"));
}

#[tokio::test]
async fn gateway_that_stops_is_live_and_not_ready_until_it_has_drained() {
    let upstream = Held::start().await;
    let url = upstream.url();
    let gateway =
        Gateway::at(&url, &[&["--lame-duck", "3600"][..], &ADMIN].concat()).await;
    let admin = gateway.admin();
    let lame_duck = tokio::spawn(gateway.stop());
    while get(admin, "/readyz").await != line(503, "draining") {}
    assert_eq!(get(admin, "/livez").await, line(200, "ok"));
    lame_duck.abort();

    let gateway = Gateway::at(&url, &ADMIN).await;
    let (address, admin) = (gateway.address, gateway.admin());
    let call = tokio::spawn(Caller::list(address).send());
    let mut request = upstream.request().await;
    let stopping = tokio::spawn(gateway.stop());
    while TcpStream::connect(address).await.is_ok() {}
    assert_eq!(get(admin, "/readyz").await, line(503, "draining"));
    assert_eq!(get(admin, "/livez").await, line(200, "ok"));
    request.answer().await;
    assert_eq!(call.await.unwrap().code(), Code::Ok);
    timeout(HANG_GUARD, stopping).await.unwrap().unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn pages_have_methods_and_headers() {
    let gateway = Gateway::on_sandbox_with(&ADMIN).await;
    let admin = gateway.admin();
    for (method, path, status, header) in [
        ("GET", "/livez", 200, "content-type: text/plain"),
        ("HEAD", "/readyz", 200, "content-length: 3"),
        ("GET", "/readyz?verbose", 200, "connection: close"),
        ("GET", "/", 200, "content-type: text/html"),
        ("GET", "/style.css", 200, "content-type: text/css"),
        ("POST", "/", 405, "allow: get, head"),
        ("POST", "/readyz", 405, "allow: get, head"),
        ("OPTIONS", "/livez", 405, "allow: get, head"),
        ("GET", "/nope", 404, "content-type: text/plain"),
        // The log of this test is not the gateway's.
        ("GET", "/loglevel", 404, "content-type: text/plain"),
        ("GET", "/metrics", 200, "content-type: text/plain; version=0.0.4"),
        ("GET", "/configz", 200, "content-type: text/plain"),
    ] {
        let page = ask(admin, method, path).await;
        assert_eq!(page.status, status, "{method} {path}");
        for header in [
            header,
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none';",
        ] {
            assert!(page.head.contains(header), "{method} {path}: {}", page.head);
        }
        assert_eq!(page.body.is_empty(), method == "HEAD", "{method} {path}");
    }
    let (_, pages) = get(admin, "/nope").await;
    assert!(pages.contains("\n/readyz ") && !pages.contains("/loglevel"), "{pages}");
}

#[tokio::test]
async fn host_that_a_name_server_decides_is_rejected() {
    let gateway = Gateway::on_sandbox_with(&ADMIN).await;
    let (admin, port) = (gateway.admin(), gateway.admin().port());
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        ("127.0.0.1".to_owned(), 200),
        (format!("evil.example:{port}"), 421),
    ] {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(send(admin, &request).await.status, status, "{host}");
    }
    assert_eq!(send(admin, "GET /readyz HTTP/1.1\r\n\r\n").await.status, 400);
    assert_eq!(send(admin, "GET /readyz HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn log_filter_changes_while_the_gateway_runs() {
    let arguments =
        ["--log-format", "json", "serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &ADMIN].concat(), &[]).await;
    let admin = process.admin();
    assert_eq!(get(admin, "/loglevel").await, line(200, "info"));

    let (status, problem) = put_log_filter(admin, "verbose", "").await;
    assert_eq!(status, 400);
    assert!(problem.contains("use error, warn, info, debug or trace"), "{problem}");
    assert_eq!(put_log_filter(admin, &"a".repeat(1025), "").await.0, 413);
    let foreign = put_log_filter(admin, "trace", "origin: http://evil.example\r\n").await;
    assert_eq!(foreign.0, 403, "{foreign:?}");
    assert_eq!(get(admin, "/loglevel").await, line(200, "info"));

    let quiet = "warn,rpc=off";
    assert_eq!(put_log_filter(admin, quiet, "").await, line(200, quiet));
    process.logs("log filter changed", 1).await;
    assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
    // A line end is what `curl --data-binary @file` sends.
    assert_eq!(put_log_filter(admin, "debug\n", "").await, line(200, "debug"));
    assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
    process.logs("RPC ended", 1).await;
    process.logs("DEBUG", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let changed = r#""previous":"info","filter":"warn,rpc=off""#;
    assert!(log.contains(changed), "{log}");
    assert_eq!(log.matches("RPC ended").count(), 1, "the first was filtered out: {log}");
}

#[tokio::test]
async fn taken_port_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--admin-listen", &address];
    let output = run(&arguments, &[("POLYTOMIC_GATEWAY_LOG", "error")]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
    assert!(error.contains("another --admin-listen, or off"), "{error}");
}

#[tokio::test]
async fn health_check_has_an_exit_code_and_a_line() {
    let files = CredentialFiles::new(KEY, "the-caller-token");
    files.put_key("two\nlines");
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &files.flags(), &ADMIN].concat();
    let process = Process::start(&arguments, &[]).await;
    let admin = process.admin().to_string();
    let check = async |flags: &[&str], variable: &str| {
        let variables = [("POLYTOMIC_GATEWAY_ADMIN_LISTEN", variable)];
        let output = run(&[&["healthcheck"], flags].concat(), &variables).await;
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let not_ready = "polytomic-gateway: not healthy: the partner key is not loaded\n";
    assert_eq!(check(&[], &admin).await, (1, not_ready.to_owned()));
    assert_eq!(check(&["--live"], &admin).await, (0, "ok\n".to_owned()));
    files.put_key(KEY);
    process.signal("HUP").await;
    process.logs("read the files again", 1).await;
    assert_eq!(check(&["--admin-listen", &admin], "").await, (0, "ok\n".to_owned()));
    // What the gateway listens on is not always an address to connect to.
    let unspecified = format!("0.0.0.0:{}", process.admin().port());
    assert_eq!(check(&[], &unspecified).await, (0, "ok\n".to_owned()));

    let (code, line) = check(&[], "off").await;
    assert_eq!((code, &*line), (1, "polytomic-gateway: the admin listener is off\n"));
    let (code, line) = check(&[], &process.address.to_string()).await;
    assert!(code == 1 && line.contains("does not respond like"), "{line}");
    let (code, line) = check(&[], "127.0.0.1:1").await;
    assert!(code == 1 && line.contains("no response from 127.0.0.1:1"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[tokio::test]
async fn page_shows_failures_without_markup_or_keys_of_clients() {
    let gateway = Gateway::on_sandbox_with(&ADMIN).await;
    let hostile = r#""'&lt;script&gt;"#;
    let bare = Caller::list(gateway.address).without("authorization");
    let reply = bare.with("x-request-id", hostile).send().await;
    assert_eq!(reply.code(), Code::Unauthenticated);
    let unknown = Caller::new(gateway.address, "NoSuchRpc", &());
    let reply = unknown.with("x-request-id", "an-id-of-the-client").send().await;
    assert_eq!(reply.code(), Code::Unimplemented);
    assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);

    let (status, page) = get(gateway.admin(), "/").await;
    assert_eq!(status, 200);
    for shown in [
        "2 RPCs that failed lately",
        "/ListPartnerSharedConnections</th><td>Ok</td>",
        "<td>ListPartnerSharedConnections</td><td>Unauthenticated</td>",
        "<td>unknown</td><td>Unimplemented</td>",
        "<td>an-id-of-the-client</td>",
        "<td>&quot;&#39;&amp;lt;script&amp;gt;</td>",
        "<dd class=\"good\">serving</dd>",
        "<th scope=\"row\">HTTP/1.1 connections without a request</th>\
         <td class=\"number\">1</td>",
        "The gateway reads no credential file.",
        concat!(">", env!("CARGO_PKG_VERSION"), "<"),
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains(KEY), "{page}");
}

#[tokio::test]
async fn page_shows_certificates_with_their_ages() {
    let authority = Authority::new();
    let [first, second] = [(); 2].map(|()| authority.issue(&[kit::HOST], VALID));
    let files = TlsFiles::new(&first, &authority);
    let gateway = Gateway::on_sandbox_with(&[&files.mutual()[..], &ADMIN].concat()).await;
    let shown = |(status, page): (u16, String)| {
        assert_eq!(status, 200);
        let row = page.lines().find(|line| line.contains("--tls-certificate-file</th>"));
        row.expect("there is no row of the certificate").to_owned()
    };
    let row = shown(get(gateway.admin(), "/").await);
    assert!(row.contains("<td>2120-01-01T00:00:00Z</td>"), "{row}");
    let (age, changes) = (" s ago</td>", "<td class=\"number\">");
    assert!(row.contains(age) && row.contains("<td>yes</td>"), "{row}");
    assert!(row.contains(&format!("{changes}0</td>{changes}0</td>")), "{row}");

    files.put(&second, &authority);
    gateway.reload().await;
    files.put_contents([&first.certificate, &second.key, &authority.pem()]);
    gateway.reload().await;
    let row = shown(get(gateway.admin(), "/").await);
    assert!(row.contains(&format!("{changes}1</td>{changes}1</td>")), "{row}");
    assert!(row.contains("<td>no: --tls-key-file ") && row.contains(age), "{row}");
}
