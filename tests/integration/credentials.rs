//! Whose credentials are accepted, and go to Polytomic.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use kit::{
    Caller, CredentialFiles, Gateway, Protocol,
    caller::{KEY, Reply},
    over_both, until,
};
use polytomic_gateway::sandbox::seed;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

pub(super) async fn checking_keys(protocol: Protocol) -> Gateway {
    Gateway::on_sandbox_over(protocol, &[]).await
}

pub(super) async fn list_with(gateway: &Gateway, key: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    Caller::list(gateway.address)
        .without("authorization")
        .with("authorization", &bearer)
        .send()
        .await
}

/// Counts the sandbox's requests for the identity of a key, and for shared
/// connections.
pub(super) fn requests(gateway: &Gateway) -> (usize, usize) {
    let requests = gateway.sandbox().requests();
    let (me, rest): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.path == "/api/me");
    assert!(rest.iter().all(|request| request.path.ends_with("/shared")), "{rest:?}");
    (me.len(), rest.len())
}

/// Returns the files of a gateway with this partner key.
pub(super) fn files(key: &str) -> CredentialFiles {
    CredentialFiles::new(key, "the-caller-token\n")
}

/// Starts a gateway in static mode.
pub(super) async fn static_gateway(
    files: &CredentialFiles,
    protocol: Protocol,
    more: &[&str],
) -> Gateway {
    Gateway::on_sandbox_over(protocol, &[&files.flags(), more].concat()).await
}

#[tokio::test]
async fn unknown_key_reaches_no_shared_endpoint() {
    over_both(async |protocol| {
        let gateway = checking_keys(protocol).await;
        for _ in 0..3 {
            let reply = list_with(&gateway, "no-such-key").await;
            assert_eq!(reply.code(), Code::Unauthenticated);
            assert_eq!(reply.reason(), "CALLER_CREDENTIALS_REJECTED");
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
            assert_eq!(requests(&gateway), (1, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn key_of_another_class_is_rejected_with_its_class() {
    over_both(async |protocol| {
        let gateway = checking_keys(protocol).await;
        for (key, class) in
            [(seed::USER_KEY, "user"), (seed::ORGANIZATION_KEY, "organization")]
        {
            let reply = list_with(&gateway, key).await;
            assert_eq!(reply.code(), Code::PermissionDenied);
            assert_eq!(reply.reason(), "PARTNER_KEY_REQUIRED");
            assert!(reply.message().contains(class), "{}", reply.message());
        }
        assert_eq!(requests(&gateway), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn revoked_key_is_rejected_on_the_next_rpc() {
    over_both(async |protocol| {
        let gateway = checking_keys(protocol).await;
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        gateway.sandbox().revoke(KEY);

        let next = list_with(&gateway, KEY).await;
        assert_eq!(next.code(), Code::Unauthenticated);
        assert_eq!(next.error_metadata("outcome").as_deref(), Some("REJECTED"));
        // A look-up has confirmed that the key is not known.
        assert_eq!(requests(&gateway), (2, 2));

        // The gateway remembers the rejection, and sends nothing.
        let later = list_with(&gateway, KEY).await;
        assert_eq!(later.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        assert_eq!(requests(&gateway), (2, 2));
    })
    .await;
}

#[tokio::test]
async fn static_mode_accepts_the_caller_token_only() {
    over_both(async |protocol| {
        let files = files(KEY);
        let gateway = static_gateway(&files, protocol, &[]).await;
        assert_eq!(list_with(&gateway, "the-caller-token").await.code(), Code::Ok);
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
    })
    .await;
}

#[tokio::test]
async fn key_rotation_under_load_fails_no_rpc() {
    over_both(async |protocol| {
        const ROTATIONS: usize = 10;
        let files = files(KEY);
        let gateway = Arc::new(static_gateway(&files, protocol, &[]).await);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let calls: Arc<[AtomicUsize; 4]> = Arc::default();
        let callers: Vec<_> = (0..calls.len())
            .map(|caller| {
                let gateway = Arc::clone(&gateway);
                let calls = Arc::clone(&calls);
                let stopped = stopped.clone();
                tokio::spawn(async move {
                    while !*stopped.borrow() {
                        let reply = list_with(&gateway, "the-caller-token").await;
                        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
                        calls[caller].fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();

        let mut old = KEY.to_owned();
        for rotation in 0..ROTATIONS {
            // As an operator does: issue a key, replace the file, revoke the old key.
            let new = format!("rotated-key-{rotation}");
            gateway.sandbox().issue(&new, &old);
            files.put_key(&new);
            gateway.sandbox().revoke(&old);
            // Each client finishes an RPC that began after this rotation.
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
    })
    .await;
}

#[tokio::test]
async fn gateway_without_a_usable_key_is_unavailable_until_reload() {
    over_both(async |protocol| {
        let files = files("not one\nkey");
        let gateway = static_gateway(&files, protocol, &[]).await;
        let reply = list_with(&gateway, "the-caller-token").await;
        assert_eq!(reply.code(), Code::Unavailable);
        assert_eq!(reply.reason(), "GATEWAY_CREDENTIALS_UNAVAILABLE");

        let mut health = HealthClient::new(gateway.channel().await);
        let server = HealthCheckRequest::default();
        let mut states = health.watch(server).await.unwrap().into_inner();
        let state = states.message().await.unwrap().unwrap().status();
        assert_eq!(state, ServingStatus::NotServing);

        files.put_key(KEY);
        gateway.reload().await;
        assert_eq!(list_with(&gateway, "the-caller-token").await.code(), Code::Ok);
        let state = states.message().await.unwrap().unwrap().status();
        assert_eq!(state, ServingStatus::Serving);
    })
    .await;
}
