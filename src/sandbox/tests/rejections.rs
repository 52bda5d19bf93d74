//! Every rejection, and that it shares nothing.

use http::{Method, StatusCode};
use serde_json::json;

use super::{Running, rejection, response, seed, shared, shared_in, third_child};

#[tokio::test]
async fn rejects_unknown_keys() {
    let sandbox = Running::start().await;
    let url = format!("{}{}", sandbox.url, shared(seed::SHARED_CONNECTION));
    let with = |values: &[&str]| {
        let request = sandbox.client.get(&url);
        values
            .iter()
            .fold(request, |request, value| request.header("authorization", *value))
    };
    let table: [&[&str]; 8] = [
        &[],
        &["Bearer wrong"],
        &["Bearer "],
        &["Bearer"],
        &["sandbox-partner-key"],
        &["Basic c2FuZGJveC1wYXJ0bmVyLWtleTo="],
        &["Bearer Sandbox-Partner-Key"],
        &["Bearer sandbox-partner-key", "Bearer sandbox-partner-key"],
    ];
    for values in table {
        let expected = (401, "unauthorized".to_owned());
        assert_eq!(rejection(with(values)).await, expected, "{values:?}");
    }
    let (status, _) = response(with(&["bEARER sandbox-partner-key"])).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn rejects_a_revoked_key() {
    let sandbox = Running::start().await;
    let path = shared(seed::SHARED_CONNECTION);
    let (status, _) = response(sandbox.get(&path, seed::PARTNER_KEY)).await;
    assert_eq!(status, StatusCode::OK);
    sandbox.handle.revoke(seed::PARTNER_KEY);
    for path in [&*path, "/api/me"] {
        assert_eq!(rejection(sandbox.get(path, seed::PARTNER_KEY)).await.0, 401);
    }
    let (status, _) = response(sandbox.get("/api/me", seed::USER_KEY)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn rejects_a_key_of_the_wrong_class() {
    let sandbox = Running::start().await;
    let shared = shared(seed::SHARED_CONNECTION);
    let connection = format!("/api/connections/{}", seed::SHARED_CONNECTION);
    let by_owner = format!("{connection}/shared");
    let organization = format!("/api/organizations/{}", seed::OWNER_ORGANIZATION);
    for path in [&*shared, "/api/organizations", &*organization] {
        for key in [seed::USER_KEY, seed::ORGANIZATION_KEY] {
            assert_eq!(rejection(sandbox.get(path, key)).await.0, 403, "{path}");
        }
    }
    for path in ["/api/connections", "/api/organization", &*connection, &*by_owner] {
        let rejection = rejection(sandbox.get(path, seed::PARTNER_KEY)).await;
        assert_eq!(rejection.0, 403, "{path}");
    }
    let create = sandbox.call(Method::POST, &shared, seed::USER_KEY).body(third_child());
    assert_eq!(rejection(create).await.0, 403);
}

#[tokio::test]
async fn every_missing_connection_gets_the_same_404() {
    let sandbox = Running::start().await;
    let nowhere = "99999999-9999-4999-8999-999999999999";
    let owner = seed::OWNER_ORGANIZATION;
    let table = [
        (seed::PARTNER_KEY, nowhere, seed::SHARED_CONNECTION, "unknown organization"),
        (seed::PARTNER_KEY, owner, nowhere, "unknown connection"),
        (
            seed::PARTNER_KEY,
            owner,
            seed::OTHER_CONNECTION,
            "another partner's connection",
        ),
        (seed::PARTNER_KEY, owner, seed::CHILD_CONNECTION, "a child's connection"),
        (seed::PARTNER_KEY, owner, seed::FIRST_COPY, "a child's copy"),
        (
            seed::PARTNER_KEY,
            seed::FIRST_CHILD_ORGANIZATION,
            seed::SHARED_CONNECTION,
            "not the owner",
        ),
        (
            seed::PARTNER_KEY,
            seed::OTHER_ORGANIZATION,
            seed::OTHER_CONNECTION,
            "another partner's organization",
        ),
        (seed::OTHER_PARTNER_KEY, owner, seed::SHARED_CONNECTION, "another partner"),
    ];
    let expected =
        json!({ "key": "not_found", "message": "connection not found", "status": 404 });
    for (key, organization, connection, why) in table {
        let path = shared_in(organization, connection);
        let list = sandbox.get(&path, key);
        let create = sandbox
            .call(Method::POST, &path, key)
            .header("content-type", "application/json")
            .body(third_child());
        for request in [list, create] {
            let (status, body) = response(request).await;
            assert_eq!((status.as_u16(), &body), (404, &expected), "{why}");
        }
    }
    let path = format!("/api/connections/{}/shared", seed::SHARED_CONNECTION);
    assert_eq!(rejection(sandbox.get(&path, seed::ORGANIZATION_KEY)).await.0, 404);
    let path = format!("/api/organizations/{}", seed::OTHER_ORGANIZATION);
    assert_eq!(rejection(sandbox.get(&path, seed::PARTNER_KEY)).await.0, 404);
    assert_eq!(sandbox.handle.shares().len(), 3);
}

#[tokio::test]
async fn rejects_paths_without_a_uuid() {
    let sandbox = Running::start().await;
    let owner = seed::OWNER_ORGANIZATION;
    let braced = format!("%7B{owner}%7D");
    let simple = owner.replace('-', "");
    for malformed in ["x", "%00", "a%2fb", "%ff", &*braced, &*simple] {
        for path in [shared_in(malformed, owner), shared_in(owner, malformed)] {
            let list = sandbox.get(&path, seed::PARTNER_KEY);
            assert_eq!(rejection(list).await.0, 422, "{path}");
            assert_eq!(
                rejection(sandbox.post(&path, third_child())).await.0,
                422,
                "{path}"
            );
        }
    }
    let upper = shared(&seed::SHARED_CONNECTION.to_uppercase());
    let (status, _) = response(sandbox.get(&upper, seed::PARTNER_KEY)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn rejects_invalid_bodies() {
    let sandbox = Running::start().await;
    let child = |id: &str| json!({ "child_organization_id": id }).to_string();
    let table = [
        (400, String::new()),
        (400, "{".to_owned()),
        (400, "[]".to_owned()),
        (400, "null".to_owned()),
        (400, r#"{"child_organization_id":5}"#.to_owned()),
        (400, format!("{} x", third_child())),
        (422, "{}".to_owned()),
        (422, r#"{"child_organization_id":null}"#.to_owned()),
        (422, child("x")),
        (422, child(&format!("{{{}}}", seed::THIRD_CHILD_ORGANIZATION))),
        (404, child("99999999-9999-4999-8999-999999999999")),
        (404, child(seed::OTHER_ORGANIZATION)),
        (413, " ".repeat(1024 * 1024 + 1)),
        (413, " ".repeat(8 * 1024 * 1024)),
    ];
    let path = shared(seed::UNSHARED_CONNECTION);
    for (status, body) in table {
        let start: String = body.chars().take(60).collect();
        assert_eq!(rejection(sandbox.post(&path, body)).await.0, status, "{start}");
    }
    assert_eq!(sandbox.handle.shares().len(), 3);
}

#[tokio::test]
async fn accepts_json_by_its_media_type_only() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    let table = [
        (None, 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("text/json"), 415),
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
    ];
    for (content_type, expected) in table {
        let mut create =
            sandbox.call(Method::POST, &path, seed::PARTNER_KEY).body(third_child());
        if let Some(content_type) = content_type {
            create = create.header("content-type", content_type);
        }
        let (status, _) = response(create).await;
        assert_eq!(status.as_u16(), expected, "{content_type:?}");
    }
}

#[tokio::test]
async fn shares_only_what_the_owner_organization_owns_itself() {
    let sandbox = Running::start().await;
    let of_child = shared_in(seed::FIRST_CHILD_ORGANIZATION, seed::CHILD_CONNECTION);
    let copy = shared_in(seed::FIRST_CHILD_ORGANIZATION, seed::FIRST_COPY);
    for path in [of_child, copy] {
        assert_eq!(rejection(sandbox.post(&path, third_child())).await.0, 422, "{path}");
        let (status, list) = response(sandbox.get(&path, seed::PARTNER_KEY)).await;
        assert_eq!((status, list), (StatusCode::OK, json!({ "data": [] })), "{path}");
    }
}

#[tokio::test]
async fn rejects_unknown_paths_and_wrong_methods_with_any_key() {
    let sandbox = Running::start().await;
    let shared = shared(seed::SHARED_CONNECTION);
    let share = shared.trim_end_matches('d').to_owned();
    let slash = format!("{shared}/");
    for path in ["/", "/api", "/api/me/", &*share, &*slash, "/sign-in"] {
        for key in [seed::PARTNER_KEY, "wrong"] {
            let expected = (404, "not_found".to_owned());
            assert_eq!(rejection(sandbox.get(path, key)).await, expected, "{path}");
        }
    }
    for (method, path) in [(Method::DELETE, &*shared), (Method::POST, "/api/me")] {
        for key in [seed::PARTNER_KEY, "wrong"] {
            let request = sandbox.call(method.clone(), path, key);
            let expected = (405, "method_not_allowed".to_owned());
            assert_eq!(rejection(request).await, expected, "{method} {path}");
        }
    }
    let patch = sandbox.call(Method::PATCH, &shared, seed::PARTNER_KEY);
    let response = patch.send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
}

#[tokio::test]
async fn fails_on_demand() {
    let sandbox = Running::start().await;
    for status in [400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 504] {
        let path = shared(&seed::failing_connection(status));
        let list = sandbox.get(&path, seed::PARTNER_KEY);
        assert_eq!(rejection(list).await.0, status);
        // An invalid body makes no difference.
        assert_eq!(rejection(sandbox.post(&path, "")).await.0, status);
        let elsewhere =
            shared_in(seed::FIRST_CHILD_ORGANIZATION, &seed::failing_connection(status));
        let list = sandbox.get(&elsewhere, seed::PARTNER_KEY);
        assert_eq!(rejection(list).await.0, 404);
    }
    let in_use = shared(&seed::failing_connection(422));
    let (_, in_use) = response(sandbox.get(&in_use, seed::PARTNER_KEY)).await;
    assert_eq!(in_use["metadata"]["used_by"][0]["type"], "model", "{in_use}");
    for status in [429, 503] {
        let path = shared(&seed::failing_connection(status));
        let response = sandbox.get(&path, seed::PARTNER_KEY).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "2");
    }
    let unlisted = shared(&seed::failing_connection(418));
    assert_eq!(rejection(sandbox.get(&unlisted, seed::PARTNER_KEY)).await.0, 404);
}

#[tokio::test]
async fn fails_on_demand_as_a_proxy_does() {
    let sandbox = Running::start().await;
    for (id, status) in [(seed::HTML_PAGE, 200), (&*seed::failing_connection(502), 502)] {
        let request = sandbox.get(&shared(id), seed::PARTNER_KEY);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert!(response.text().await.unwrap().starts_with("<html>"));
    }
    let redirect = shared(&seed::failing_connection(302));
    let response = sandbox.get(&redirect, seed::PARTNER_KEY).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/sign-in");
    let empty = shared(seed::EMPTY_OBJECT);
    let (status, body) = super::response(sandbox.post(&empty, third_child())).await;
    assert_eq!((status.as_u16(), body), (200, json!({})));
}
