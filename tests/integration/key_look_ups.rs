//! How long the gateway remembers what Polytomic says about a key, and how often it asks.
//! The sandbox's request log shows what was asked.

use std::sync::Arc;

use futures_util::future::join_all;
use kit::{
    Caller, Fake, Gateway,
    caller::{ID, KEY, Reply},
    fake::{Response, Script, Step},
    over_both,
};
use polytomic_gateway::{proto::ListPartnerSharedConnectionsRequest, sandbox::seed};
use tokio::time::Instant;
use tonic::Code;

use super::credentials::{checking_keys, files, list_with, requests, static_gateway};

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
        let files = files(KEY);
        for (gateway, key, is_checked) in [
            (checking_keys(protocol).await, KEY, true),
            (static_gateway(&files, protocol, &[]).await, "the-caller-token", true),
            (Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await, KEY, false),
            (
                static_gateway(&files, protocol, &["--no-key-check"]).await,
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
