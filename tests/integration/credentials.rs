//! Credentials, and how long the gateway remembers them. The sandbox's request log
//! shows what was asked.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::future::join_all;
use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::{ID, KEY, Reply},
    fake::{Response, Script, Step},
    over_both, until,
};
use polytomic_gateway::{proto::ListPartnerSharedConnectionsRequest, sandbox::seed};
use tokio::{task::JoinHandle, time::Instant};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

async fn checking_keys(protocol: Protocol) -> Gateway {
    Gateway::on_sandbox_over(protocol, &[]).await
}

async fn list_with(gateway: &Gateway, key: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    Caller::list(gateway.address)
        .without("authorization")
        .with("authorization", &bearer)
        .send()
        .await
}

/// Counts the sandbox's requests for the identity of a key, and for shared
/// connections.
fn requests(gateway: &Gateway) -> (usize, usize) {
    let requests = gateway.sandbox().requests();
    let (me, rest): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.path == "/api/me");
    assert!(rest.iter().all(|request| request.path.ends_with("/shared")), "{rest:?}");
    (me.len(), rest.len())
}

#[tokio::test]
async fn key_is_looked_up_once() {
    over_both(async |protocol| {
        let gateway = checking_keys(protocol).await;
        for calls in 1..=3 {
            assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
            assert_eq!(requests(&gateway), (1, calls));
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_rpcs_share_one_look_up() {
    over_both(async |protocol| {
        let gateway = Arc::new(checking_keys(protocol).await);
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
    })
    .await;
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
async fn rpc_continues_when_the_look_up_fails() {
    over_both(async |protocol| {
        for me in [(500, ""), (200, "<html>"), (404, "{}")] {
            let me = Response::new(me.0, &[], me.1.as_bytes());
            let fake =
                Fake::responding(protocol, [me, Response::new(200, &[], b"{}")]).await;
            let gateway = Gateway::checking_keys_on(&fake, &[]).await;
            assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
            assert!(fake.seen()[0].line.starts_with("GET /api/me "));
        }
    })
    .await;
}

#[tokio::test]
async fn unauthorized_of_a_proxy_rejects_no_key() {
    over_both(async |protocol| {
        let page = b"<html>401 Authorization Required</html>";
        for body in [&page[..], b"", b"denied", br#"{"blocked":true}"#] {
            let denied = || vec![Step::Respond(Response::new(401, &[], body))];
            let reactions = vec![vec![Step::Answer], denied(), vec![Step::Answer]];
            let look_up = Some(denied());
            let script = Script { look_up, ..Script::new(protocol, reactions) };
            let fake = Fake::playing(script).await;
            let gateway = Gateway::checking_keys_on(&fake, &[]).await;
            assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
            let reply = list_with(&gateway, KEY).await;
            assert_eq!(reply.reason(), "UPSTREAM_FOREIGN_ERROR", "{}", reply.message());
            assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
            assert!(fake.seen()[0].is_look_up());
        }
    })
    .await;
}

#[tokio::test]
async fn no_key_check_looks_up_no_key() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        assert_eq!(
            list_with(&gateway, seed::USER_KEY).await.code(),
            Code::PermissionDenied
        );
        assert_eq!(requests(&gateway), (0, 2));
    })
    .await;
}

/// The credential files of a gateway in static mode.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(key: &str) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.put(key);
        fs::write(files.path("token"), "the-caller-token\n").unwrap();
        files
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Replaces the key file atomically, as Kubernetes does.
    fn put(&self, key: &str) {
        let new = self.path("new");
        fs::write(&new, key).unwrap();
        fs::rename(new, self.path("key")).unwrap();
    }

    async fn gateway(&self, protocol: Protocol, more: &[&str]) -> Gateway {
        let (key, token) = (self.path("key"), self.path("token"));
        let flags = [
            "--auth-mode",
            "static",
            "--partner-key-file",
            &key,
            "--caller-token-file",
            &token,
        ];
        Gateway::on_sandbox_over(protocol, &[&flags, more].concat()).await
    }
}

#[tokio::test]
async fn static_mode_accepts_the_caller_token_only() {
    over_both(async |protocol| {
        let files = Files::new(KEY);
        let gateway = files.gateway(protocol, &[]).await;
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
        let files = Files::new(KEY);
        let gateway = Arc::new(files.gateway(protocol, &[]).await);
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
            files.put(&new);
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
        let files = Files::new("not one\nkey");
        let gateway = files.gateway(protocol, &[]).await;
        let reply = list_with(&gateway, "the-caller-token").await;
        assert_eq!(reply.code(), Code::Unavailable);
        assert_eq!(reply.reason(), "GATEWAY_CREDENTIALS_UNAVAILABLE");

        let mut health = HealthClient::new(gateway.channel().await);
        let server = HealthCheckRequest::default();
        let mut states = health.watch(server).await.unwrap().into_inner();
        let state = states.message().await.unwrap().unwrap().status();
        assert_eq!(state, ServingStatus::NotServing);

        files.put(KEY);
        gateway.reload().await;
        assert_eq!(list_with(&gateway, "the-caller-token").await.code(), Code::Ok);
        let state = states.message().await.unwrap().unwrap().status();
        assert_eq!(state, ServingStatus::Serving);
    })
    .await;
}

/// A connection of the sandbox that responds with 401, whatever the key.
const DENIED: &str = "00000000-0000-4000-8000-000000000401";

async fn list_denied(gateway: &Gateway, key: &str) -> Reply {
    let message = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: DENIED.to_owned(),
    };
    let bearer = format!("Bearer {key}");
    Caller::new(gateway.address, "ListPartnerSharedConnections", &message)
        .without("authorization")
        .with("authorization", &bearer)
        .send()
        .await
}

#[tokio::test]
async fn unauthorized_response_to_one_rpc_rejects_no_other_of_its_key() {
    over_both(async |protocol| {
        let files = Files::new(KEY);
        for (gateway, key, is_checked) in [
            (checking_keys(protocol).await, KEY, true),
            (files.gateway(protocol, &[]).await, "the-caller-token", true),
            (Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await, KEY, false),
            (
                files.gateway(protocol, &["--no-key-check"]).await,
                "the-caller-token",
                false,
            ),
        ] {
            let started = Instant::now();
            assert_eq!(list_with(&gateway, key).await.code(), Code::Ok);
            for _ in 0..5 {
                let denied = join_all((0..10).map(|_| list_denied(&gateway, key))).await;
                for reply in denied {
                    assert_eq!(reply.code(), Code::Unauthenticated);
                    assert_eq!(
                        reply.error_metadata("outcome").as_deref(),
                        Some("REJECTED")
                    );
                }
                let other = list_with(&gateway, key).await;
                assert_eq!(other.code(), Code::Ok, "{}", other.message());
            }
            // One before the first use, and at most one check in 5 s.
            let (looked_up, _) = requests(&gateway);
            let most = if is_checked { 2 + started.elapsed().as_secs() / 5 } else { 0 };
            assert!(looked_up as u64 <= most, "{looked_up} in {:?}", started.elapsed());
            assert_eq!(looked_up > 1, is_checked);
        }
    })
    .await;
}

#[tokio::test]
async fn look_up_without_an_answer_costs_one_request_and_not_one_per_rpc() {
    over_both(async |protocol| {
        for no_answer in [
            Step::Stall,
            Step::Close,
            Step::Respond(Response::json(500, "{}")),
            Step::Respond(Response::json(429, "{}")),
        ] {
            let look_up = Some(vec![no_answer]);
            let reactions = vec![vec![Step::Answer]];
            let script = Script { look_up, ..Script::new(protocol, reactions) };
            let fake = Fake::playing(script).await;
            let gateway = Gateway::checking_keys_on(&fake, &[]).await;
            let started = Instant::now();
            for _ in 0..50 {
                assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
            }
            let seen = fake.seen();
            let looked_up = seen.iter().filter(|seen| seen.is_look_up()).count();
            // The next comes 2 s later at the earliest.
            let most = 1 + started.elapsed().as_secs() / 2;
            assert!(looked_up as u64 <= most, "{looked_up} in {:?}", started.elapsed());
            assert_eq!(seen.len(), 50 + looked_up);
        }
    })
    .await;
}

#[tokio::test]
async fn look_up_has_the_configured_version() {
    over_both(async |protocol| {
        let me = Response::json(200, r#"{"data":{"is_partner":true}}"#);
        let list = Response::json(200, kit::fake::LISTED);
        let fake = Fake::responding(protocol, [me, list]).await;
        let gateway = Gateway::checking_keys_on(&fake, &[]).await;
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        for seen in fake.seen() {
            let version = seen.header("x-polytomic-version");
            assert_eq!(version, Some("2025-09-18"), "{}", seen.line);
        }
    })
    .await;
}

#[tokio::test]
async fn made_up_keys_use_up_no_look_ups_and_stop_no_honest_key() {
    over_both(async |protocol| {
        let gateway = checking_keys(protocol).await;
        let started = Instant::now();
        for flood in 0..12 {
            let made_up = (0..25).map(|number| format!("made-up-{flood}-{number}"));
            let replies =
                join_all(made_up.map(async |key| list_with(&gateway, &key).await));
            for reply in replies.await {
                assert_eq!(reply.reason(), "CALLER_CREDENTIALS_REJECTED");
            }
            let honest = format!("honest-{flood}");
            gateway.sandbox().issue(&honest, KEY);
            let reply = list_with(&gateway, &honest).await;
            assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        }
        let (looked_up, sent) = requests(&gateway);
        // A burst of 50, then 20 a second.
        let most = 50 + 20 * (started.elapsed().as_secs() + 1);
        assert!(looked_up as u64 <= most, "{looked_up} in {:?}", started.elapsed());
        assert!(sent >= 12);
    })
    .await;
}

#[tokio::test]
async fn silent_look_up_delays_an_rpc_and_does_not_fail_it() {
    over_both(async |protocol| {
        let script = Script::new(protocol, vec![vec![Step::Stall], vec![Step::Answer]]);
        let fake = Fake::playing(script).await;
        let gateway = Gateway::checking_keys_on(&fake, &[]).await;
        assert_eq!(list_with(&gateway, KEY).await.code(), Code::Ok);
        let lines: Vec<String> = fake.seen().into_iter().map(|seen| seen.line).collect();
        assert!(lines[0].starts_with("GET /api/me "), "{lines:?}");
        assert!(lines[1].contains("/shared "), "{lines:?}");
    })
    .await;
}
