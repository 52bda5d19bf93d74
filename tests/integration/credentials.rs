//! Credentials and what is remembered of them, looked up in the sandbox's own
//! request log.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use polytomic_gateway::{contract::DESCRIPTOR_SET, sandbox::seed};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Caller, Fake, Gateway,
    caller::{KEY, Reply},
    fake::answer,
    settings, until,
};

async fn checking_keys() -> Gateway {
    Gateway::on_sandbox_with(&[]).await
}

async fn list_with(gateway: &Gateway, key: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    Caller::list(gateway.address)
        .without("authorization")
        .with("authorization", &bearer)
        .send()
        .await
}

/// Counts the requests that the sandbox has seen for the identity of a key, and
/// for shared connections.
fn requests(gateway: &Gateway) -> (usize, usize) {
    let requests = gateway.sandbox().requests();
    let (me, rest): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.path == "/api/me");
    assert!(rest.iter().all(|request| request.path.ends_with("/shared")), "{rest:?}");
    (me.len(), rest.len())
}

#[tokio::test]
async fn a_key_is_looked_up_once() {
    let gateway = checking_keys().await;
    for calls in 1..=3 {
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        assert_eq!(requests(&gateway), (1, calls));
    }
}

#[tokio::test]
async fn callers_who_come_at_once_share_one_look_up() {
    let gateway = Arc::new(checking_keys().await);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { list_with(&gateway, KEY).await.code() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Code::Ok);
    }
    assert_eq!(requests(&gateway), (1, 50));
}

#[tokio::test]
async fn a_wrong_key_reaches_no_shared_endpoint() {
    let gateway = checking_keys().await;
    for _ in 0..3 {
        let reply = list_with(&gateway, "no-such-key").await;
        assert_eq!(reply.code(), Code::Unauthenticated);
        assert_eq!(reply.reason(), "CALLER_CREDENTIALS_REJECTED");
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        assert_eq!(requests(&gateway), (1, 0));
    }
}

#[tokio::test]
async fn a_key_that_is_no_partners_is_told_its_class() {
    let gateway = checking_keys().await;
    for (key, class) in
        [(seed::USER_KEY, "user"), (seed::ORGANIZATION_KEY, "organization")]
    {
        let reply = list_with(&gateway, key).await;
        assert_eq!(reply.code(), Code::PermissionDenied);
        assert_eq!(reply.reason(), "PARTNER_KEY_REQUIRED");
        assert!(reply.message().contains(class), "{}", reply.message());
    }
    assert_eq!(requests(&gateway), (2, 0));
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_the_next_call() {
    let gateway = checking_keys().await;
    assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
    gateway.sandbox().revoke(KEY);

    let next = list_with(&gateway, KEY).await;
    assert_eq!(next.code(), Code::Unauthenticated);
    assert_eq!(next.error_metadata("outcome").as_deref(), Some("REJECTED"));
    assert_eq!(requests(&gateway), (1, 2));

    // From then on nothing is sent, for as long as the refusal is remembered.
    let later = list_with(&gateway, KEY).await;
    assert_eq!(later.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert_eq!(requests(&gateway), (1, 2));
}

#[tokio::test]
async fn an_rpc_goes_on_when_polytomic_does_not_say_whose_key_it_is() {
    for me in
        [answer(500, &[], b""), answer(200, &[], b"<html>"), answer(404, &[], b"{}")]
    {
        let fake = Fake::answering([me, answer(200, &[], b"{}")]).await;
        let url = fake.url();
        let gateway =
            Gateway::start(settings(&["--upstream-url", &url]), DESCRIPTOR_SET).await;
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        assert!(fake.seen()[0].line.starts_with("GET /api/me "));
    }
}

#[tokio::test]
async fn a_key_is_not_looked_up_if_that_is_turned_off() {
    let gateway = Gateway::on_sandbox().await;
    assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
    assert_eq!(list_with(&gateway, seed::USER_KEY).await.code(), Code::PermissionDenied);
    assert_eq!(requests(&gateway), (0, 2));
}

/// The files of a gateway that holds the partner key itself.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(key: &str) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.put(key);
        fs::write(files.path("token"), "caller-token\n").unwrap();
        files
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Swaps the key at once, as Kubernetes does.
    fn put(&self, key: &str) {
        let new = self.path("new");
        fs::write(&new, key).unwrap();
        fs::rename(new, self.path("key")).unwrap();
    }

    async fn gateway(&self) -> Gateway {
        let (key, token) = (self.path("key"), self.path("token"));
        let flags = [
            "--auth-mode",
            "static",
            "--partner-key-file",
            &key,
            "--caller-token-file",
            &token,
        ];
        Gateway::on_sandbox_with(&flags).await
    }
}

#[tokio::test]
async fn a_gateway_with_a_key_of_its_own_takes_the_caller_token_only() {
    let files = Files::new(KEY);
    let gateway = files.gateway().await;
    assert_eq!(list_with(&gateway, "caller-token").await.code(), Code::Ok);
    let seen = gateway.sandbox().requests();
    assert!(
        seen.iter().all(|request| request.headers["authorization"] == "partner"),
        "{seen:?}"
    );

    let before = requests(&gateway);
    let wrong = list_with(&gateway, KEY).await;
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(wrong.reason(), "CALLER_TOKEN_REJECTED");
    let missing = Caller::list(gateway.address).without("authorization").send().await;
    assert_eq!(missing.reason(), "CREDENTIALS_MISSING");
    assert_eq!(requests(&gateway), before);
}

#[tokio::test]
async fn a_key_that_is_rotated_under_load_loses_no_rpc() {
    const ROTATIONS: usize = 10;
    let files = Files::new(KEY);
    let gateway = Arc::new(files.gateway().await);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let calls: Arc<[AtomicUsize; 4]> = Arc::default();
    let callers: Vec<_> = (0..calls.len())
        .map(|caller| {
            let gateway = Arc::clone(&gateway);
            let calls = Arc::clone(&calls);
            let stopped = stopped.clone();
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    let reply = list_with(&gateway, "caller-token").await;
                    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
                    calls[caller].fetch_add(1, Relaxed);
                }
            })
        })
        .collect();

    let mut old = KEY.to_owned();
    for rotation in 0..ROTATIONS {
        // As an operator does it: a new key, the file, then the end of the old key.
        let new = format!("rotated-key-{rotation}");
        gateway.sandbox().issue(&new, &old);
        files.put(&new);
        gateway.sandbox().revoke(&old);
        // No call lasts from before a rotation until after the next.
        let begun = calls.each_ref().map(|calls| calls.load(Relaxed));
        let has_called = |(calls, begun): (&AtomicUsize, usize)| {
            calls.load(Relaxed) >= begun + 2
                || callers.iter().any(JoinHandle::is_finished)
        };
        until(|| calls.iter().zip(begun).all(has_called)).await;
        old = new;
    }
    stop.send(true).unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_gateway_without_a_usable_key_is_unavailable_until_it_has_one() {
    let files = Files::new("not one\nkey");
    let gateway = files.gateway().await;
    let reply = list_with(&gateway, "caller-token").await;
    assert_eq!(reply.code(), Code::Unavailable);
    assert_eq!(reply.reason(), "GATEWAY_CREDENTIALS_UNAVAILABLE");

    let mut health = HealthClient::new(gateway.channel().await);
    let server = HealthCheckRequest::default();
    let mut states = health.watch(server).await.unwrap().into_inner();
    let state = states.message().await.unwrap().unwrap().status();
    assert_eq!(state, ServingStatus::NotServing);

    files.put(KEY);
    gateway.reload().await;
    assert_eq!(list_with(&gateway, "caller-token").await.code(), Code::Ok);
    let state = states.message().await.unwrap().unwrap().status();
    assert_eq!(state, ServingStatus::Serving);
}

#[tokio::test]
async fn a_look_up_that_hangs_holds_an_rpc_up_for_a_moment_only() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Gateway::start(
        settings(&["--upstream-url", &url, "--timeout", "3"]),
        DESCRIPTOR_SET,
    )
    .await;
    let started = tokio::time::Instant::now();
    let reply = list_with(&gateway, KEY).await;
    // The RPC itself hangs as well: it went on to the shared endpoint.
    assert_eq!(reply.code(), Code::DeadlineExceeded);
    assert_eq!(reply.error_metadata("attempts").as_deref(), Some("1"));
    assert!(started.elapsed() < Duration::from_secs(6));
}
