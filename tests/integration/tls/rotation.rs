//! Certificates are replaced while clients call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use kit::{
    Caller, Gateway, HANG_GUARD, Protocol,
    connection::{Connection, Driver},
    log::Log,
    over_both,
    process::Process,
    tls::{Authority, TlsFiles, VALID},
    until,
};
use prost::Message;
use tokio::{net::TcpStream, sync::watch, task::JoinHandle, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::pki_types::{CertificateDer, ServerName},
};
use tonic::Code;

use super::{CLIENT, Secure, assert_ok, connector};

/// Returns the certificate that a gateway shows to a new connection.
async fn shown(gateway: &Gateway, tls: &TlsConnector) -> CertificateDer<'static> {
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from(kit::HOST).unwrap();
    let stream = tls.connect(name, socket).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

/// Calls until told to stop, with a new connection every other time.
async fn call(
    gateway: Arc<Gateway>,
    tls: TlsConnector,
    calls: Arc<AtomicUsize>,
    stopped: watch::Receiver<bool>,
) {
    let open = async || Connection::open_tls(gateway.address, &tls).await.unwrap();
    let (lasting, driver) = open().await;
    while !*stopped.borrow() {
        let (new, _) = open().await;
        for connection in [&lasting, &new] {
            let reply = connection.call(
                kit::caller::LIST,
                kit::caller::METADATA,
                kit::caller::frame(&kit::caller::list_request().encode_to_vec()),
            );
            let reply = timeout(HANG_GUARD, reply).await.unwrap().unwrap();
            assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        }
        calls.fetch_add(1, Relaxed);
    }
    drop((lasting, driver) as (Connection, Driver));
}

#[tokio::test]
async fn rotation_under_load_fails_no_rpc() {
    const ROTATIONS: usize = 10;

    over_both(async |protocol: Protocol| {
        let (authority, clients) = (Authority::new(), Authority::new());
        let issue = || authority.issue(&[kit::HOST], VALID);
        let files = TlsFiles::new(&issue(), &clients);
        let flags = [&files.mutual()[..], &["--no-key-check"]].concat();
        let gateway = Arc::new(Gateway::on_sandbox_over(protocol, &flags).await);
        let client = clients.issue(&[CLIENT], VALID);
        let tls = connector(authority.client(Some(&client)));
        let (stop, stopped) = watch::channel(false);
        let calls: [Arc<AtomicUsize>; 4] = Default::default();
        let start = |calls: &Arc<AtomicUsize>| {
            let calls = Arc::clone(calls);
            let call = call(Arc::clone(&gateway), tls.clone(), calls, stopped.clone());
            tokio::spawn(call)
        };
        let callers: Vec<_> = calls.iter().map(start).collect();
        for _ in 0..ROTATIONS {
            let next = issue();
            files.put(&next, &clients);
            gateway.reload().await;
            assert_eq!(shown(&gateway, &tls).await, next.leaf());
            // Each client finishes calls that began after this rotation.
            let begun = calls.each_ref().map(|calls| calls.load(Relaxed));
            let has_called = |(calls, begun): (&Arc<AtomicUsize>, usize)| {
                calls.load(Relaxed) >= begun + 2
                    || callers.iter().any(JoinHandle::is_finished)
            };
            until(|| calls.iter().zip(begun).all(has_called)).await;
        }
        stop.send(true).unwrap();
        for caller in callers {
            caller.await.unwrap();
        }
        let [listener, _] = gateway.files().certificates();
        let stats = listener.unwrap();
        assert_eq!((stats.rotations, stats.failures), (ROTATIONS as u64, 0));
    })
    .await;
}

#[tokio::test]
async fn bad_file_changes_nothing_and_is_logged_once() {
    let log = Log::keep();
    let secure = Secure::start(&[]).await;
    let tls = secure.connector(None);
    let before = shown(&secure.gateway, &tls).await;
    let other = secure.authority.issue(&[kit::HOST], VALID);
    let mixed = secure.authority.issue(&[kit::HOST], VALID);
    secure.files.put_contents([&other.certificate, &mixed.key, ""]);
    for _ in 0..3 {
        secure.gateway.reload().await;
    }
    assert_eq!(shown(&secure.gateway, &tls).await, before);
    let problems = || log.events("listener certificates are not usable");
    let lines = problems();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let problem = line["problem"].as_str().unwrap();
    assert!(problem.starts_with("--tls-key-file ") && problem.contains("does not match"));
    assert_eq!(line["until_then"], "the previous certificates stay in use");

    // Another attempt that fails as the first did is another line.
    secure.files.put_contents([&mixed.certificate, &other.key, ""]);
    secure.gateway.reload().await;
    assert_eq!(problems().len(), 2);
    secure.files.put(&other, &secure.clients);
    secure.gateway.reload().await;
    assert_eq!(shown(&secure.gateway, &tls).await, other.leaf());
    assert_ok(secure.list(&tls).await);
}

#[tokio::test]
async fn client_authority_that_is_no_longer_trusted_lets_no_client_in() {
    let secure = Secure::mutual(&[]).await;
    let old = secure.clients.issue(&[CLIENT], VALID);
    // It keeps what it needs to resume a session.
    let tls = secure.connector(Some(&old));
    let opened = Connection::open_tls(secure.gateway.address, &tls).await;
    let (before, _driver) = opened.unwrap();
    assert_ok(secure.list(&tls).await);

    let trusted = Authority::new();
    let shown = secure.authority.issue(&[kit::HOST], VALID);
    secure.files.put(&shown, &trusted);
    secure.gateway.reload().await;
    secure.list(&tls).await.unwrap_err();
    let new = trusted.issue(&[CLIENT], VALID);
    assert_ok(secure.list(&secure.connector(Some(&new))).await);

    // An open connection stays until its age.
    let message = kit::caller::list_request().encode_to_vec();
    let (metadata, body) = (kit::caller::METADATA, kit::caller::frame(&message));
    let reply = before.call(kit::caller::LIST, metadata, body).await.unwrap();
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
}

#[tokio::test]
async fn hangup_replaces_the_certificate_of_a_process() {
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &authority);
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &files.flags()].concat(), &[]).await;
    process.logs("listener certificates loaded", 1).await;
    files.put(&authority.issue(&[kit::HOST], VALID), &authority);
    process.signal("HUP").await;
    process.logs("listener certificates loaded", 2).await;
    process.logs("SIGHUP: read the files again", 1).await;
    let log = process.log();
    assert!(log.contains("listener certificates usable now, loaded 0 s ago, changed 1"));
    let tls = connector(authority.client(None));
    let reply = Caller::list(process.address).tls(&tls).send().await;
    assert_eq!(reply.code(), Code::Ok);
}
