//! `Idempotency-Key`, as a client sees it.

use http::{Method, StatusCode};
use serde_json::json;

use super::{Running, data, rejection, response, seed, shared, third_child, until};

const KEY: &str = "create-0001";

#[tokio::test]
async fn replays_a_create_instead_of_sharing_again() {
    let sandbox = Running::start().await;
    let first = sandbox.create().header("idempotency-key", KEY).send().await.unwrap();
    let first = (first.status(), first.text().await.unwrap());
    for _ in 0..3 {
        let again = sandbox.create().header("idempotency-key", KEY).send().await.unwrap();
        assert_eq!(again.headers()["content-type"], "application/json");
        assert_eq!(again.headers()["x-polytomic-version"], "2025-09-18");
        assert_eq!((again.status(), again.text().await.unwrap()), first);
    }
    assert_eq!(sandbox.handle.shares().len(), 4);
}

#[tokio::test]
async fn shares_again_without_a_key_or_with_another() {
    let sandbox = Running::start().await;
    let mut ids = Vec::new();
    for key in [None, None, Some(KEY), Some("create-0002")] {
        let create = sandbox.create();
        let create =
            key.into_iter().fold(create, |it, key| it.header("idempotency-key", key));
        ids.push(data(create).await["id"].to_string());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert_eq!(sandbox.handle.shares().len(), 7);
}

#[tokio::test]
async fn replays_errors_too() {
    let sandbox = Running::start().await;
    let missing =
        json!({ "child_organization_id": seed::OTHER_ORGANIZATION }).to_string();
    let table = [
        (shared(seed::UNSHARED_CONNECTION), missing, 404),
        (shared(seed::SHARED_CONNECTION), "{".to_owned(), 400),
        (shared(&seed::failing_connection(500)), third_child(), 500),
        (shared(&seed::failing_connection(503)), third_child(), 503),
    ];
    for (path, body, status) in table {
        let create =
            || sandbox.post(&path, body.clone()).header("idempotency-key", KEY).send();
        let first = create().await.unwrap();
        let again = create().await.unwrap();
        assert_eq!(first.status(), status);
        assert_eq!(again.status(), status);
        assert_eq!(
            again.headers().get("retry-after"),
            first.headers().get("retry-after")
        );
        assert_eq!(again.text().await.unwrap(), first.text().await.unwrap());
    }
}

#[tokio::test]
async fn keys_are_separate_by_path_and_client() {
    let sandbox = Running::start().await;
    let mut ids = Vec::new();
    for connection in [seed::UNSHARED_CONNECTION, seed::SHARED_CONNECTION] {
        let create = sandbox.post(&shared(connection), third_child());
        ids.push(data(create.header("idempotency-key", KEY)).await["id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    let by_other = sandbox
        .call(Method::POST, &shared(seed::UNSHARED_CONNECTION), seed::OTHER_PARTNER_KEY)
        .header("content-type", "application/json")
        .header("idempotency-key", KEY)
        .body(third_child());
    assert_eq!(rejection(by_other).await.0, 404);
}

#[tokio::test]
async fn rejects_a_key_with_another_body() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    data(sandbox.create().header("idempotency-key", KEY)).await;
    let other = json!({ "child_organization_id": seed::SECOND_CHILD_ORGANIZATION });
    let other = sandbox.post(&path, other.to_string()).header("idempotency-key", KEY);
    assert_eq!(rejection(other).await, (422, "idempotency_key_reused".to_owned()));
    assert_eq!(sandbox.handle.shares().len(), 4);
}

#[tokio::test]
async fn rejects_malformed_keys_and_shares_nothing() {
    let sandbox = Running::start().await;
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    for key in ["", "1234567", "with space", "dot.dot.dot", "colon:colon", &*too_long] {
        let create = sandbox.create().header("idempotency-key", key);
        let expected = (400, "invalid_idempotency_key".to_owned());
        assert_eq!(rejection(create).await, expected, "{key}");
    }
    let bytes =
        sandbox.create().header("idempotency-key", &b"k\xfc\xfc\xfc\xfc\xfc\xfck"[..]);
    assert_eq!(rejection(bytes).await.0, 400);
    let twice = sandbox.create().header("idempotency-key", KEY);
    assert_eq!(rejection(twice.header("idempotency-key", KEY)).await.0, 400);
    assert_eq!(sandbox.handle.shares().len(), 3);
    for key in ["12345678", "A-Za-z0-9_-", &*longest] {
        data(sandbox.create().header("idempotency-key", key)).await;
    }
}

#[tokio::test]
async fn ignores_a_key_on_a_get() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    let list = || sandbox.get(&path, seed::PARTNER_KEY).header("idempotency-key", KEY);
    assert_eq!(data(list()).await, json!([]));
    data(sandbox.create()).await;
    assert_eq!(data(list()).await.as_array().unwrap().len(), 1);
    let (status, _) = response(list().header("idempotency-key", "short")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn records_nothing_for_an_unknown_key_or_the_wrong_version() {
    let sandbox = Running::start().await;
    let old = sandbox.create().header("x-polytomic-version", "2024-02-08");
    assert_eq!(rejection(old.header("idempotency-key", KEY)).await.0, 404);
    let path = shared(seed::UNSHARED_CONNECTION);
    let stranger = sandbox.call(Method::POST, &path, "wrong").body(third_child());
    assert_eq!(rejection(stranger.header("idempotency-key", KEY)).await.0, 401);
    data(sandbox.create().header("idempotency-key", KEY)).await;
}

#[tokio::test]
async fn responds_409_only_while_the_first_is_in_flight() {
    let sandbox = Running::start().await;
    let path = shared(seed::NEVER_ANSWERED);
    let create = || sandbox.post(&path, third_child()).header("idempotency-key", KEY);
    let first = tokio::spawn(create().send());
    until(|| sandbox.handle.requests().len() == 1).await;
    // The first has arrived, but may not hold the key yet. Then the second holds
    // it, and gets no response.
    let second = tokio::spawn(create().send());
    let winner = tokio::select! {
        first = first => first,
        second = second => second,
    };
    assert_eq!(winner.unwrap().unwrap().status(), StatusCode::CONFLICT);
    assert_eq!(rejection(create()).await, (409, "conflict".to_owned()));
}
