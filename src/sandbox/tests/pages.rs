//! The responses on Polytomic's pages, and the other effects of a share.

use std::collections::HashSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Running, data, response, seed, shared};

#[tokio::test]
async fn long_list_has_as_many_copies_as_the_id_states() {
    let sandbox = Running::start().await;
    for number in [0, 1, 100, 201] {
        let connection = seed::connection_with_copies(number);
        let list = data(sandbox.get(&shared(&connection), seed::PARTNER_KEY)).await;
        let copies = list.as_array().unwrap();
        assert_eq!(copies.len(), number as usize);
        let ids: HashSet<_> = copies.iter().map(|copy| copy["id"].as_str()).collect();
        assert_eq!(ids.len(), copies.len());
        let parent = |copy: &Value| copy["parent_connection_id"] == *connection;
        assert!(copies.iter().all(parent));
    }
}

#[tokio::test]
async fn list_is_as_documented() {
    let sandbox = Running::start().await;
    let request = sandbox.get(
        "/api/organizations/248df4b7-aa70-47b8-a036-33ac447e668d/connections/248df4b7-aa70-47b8-a036-33ac447e668d/shared",
        "sandbox-partner-key",
    );
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-polytomic-version"], "2025-09-18");
    let page = concat!(
        r#"{"data":[{"api_calls_last_24_hours":2021,"#,
        r#""configuration":{"database":"example","hostname":"postgres.example.com","#,
        r#""password":"********","port":5432,"username":"user"},"#,
        r#""created_at":"2024-01-15T09:30:00Z","#,
        r#""created_by":{"id":"12345678-1234-1234-1234-123456789012","#,
        r#""name":"John Doe","type":"user"},"#,
        r#""id":"248df4b7-aa70-47b8-a036-33ac447e668d","#,
        r#""name":"My Postgres Connection","#,
        r#""organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d","#,
        r#""parent_connection_id":"248df4b7-aa70-47b8-a036-33ac447e668d","#,
        r#""policies":["248df4b7-aa70-47b8-a036-33ac447e668d"],"#,
        r#""rate_limit":{"currently_limited":false,"expires_at":null,"limited_since":null},"#,
        r#""saved":true,"status":"healthy","status_error":"error message","#,
        r#""type":{"id":"postgresql","#,
        r#""logo_dark_url":"https://connect-assets.polytomic.com/logos/postgresql-dark.svg","#,
        r#""logo_url":"https://connect-assets.polytomic.com/logos/postgresql.svg","#,
        r#""name":"PostgreSQL","operations":["bulksyncsource"]},"#,
        r#""updated_at":"2024-01-15T09:30:00Z","#,
        r#""updated_by":{"id":"12345678-1234-1234-1234-123456789012","#,
        r#""name":"John Doe","type":"user"}}]}"#,
    );
    assert_eq!(response.text().await.unwrap(), page);
}

#[tokio::test]
async fn create_is_as_documented() {
    let sandbox = Running::start().await;
    let path = "/api/organizations/248df4b7-aa70-47b8-a036-33ac447e668d/connections/248df4b7-aa70-47b8-a036-33ac447e668d/shared";
    let body =
        "{\n  \"child_organization_id\": \"248df4b7-aa70-47b8-a036-33ac447e668d\"\n}";
    let (status, response) = response(sandbox.post(path, body)).await;
    assert_eq!(status, StatusCode::OK);
    let id = response["data"]["id"].as_str().unwrap();
    assert!(Uuid::try_parse(id).is_ok(), "{response}");
    assert_eq!(response, json!({ "data": { "id": id } }));
    let list = data(sandbox.get(path, seed::PARTNER_KEY)).await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[1]["id"], id);
}

#[tokio::test]
async fn new_share_is_in_every_list() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    let body = json!({
        "child_organization_id": seed::FIRST_CHILD_ORGANIZATION,
        "name": "Orders for Bluebird",
    });
    let id = data(sandbox.post(&path, body.to_string())).await["id"].clone();

    let by_partner = data(sandbox.get(&path, seed::PARTNER_KEY)).await;
    let by_owner = format!("/api/connections/{}/shared", seed::UNSHARED_CONNECTION);
    assert_eq!(data(sandbox.get(&by_owner, seed::USER_KEY)).await, by_partner);
    let copy = &by_partner[0];
    assert_eq!(copy["id"], id);
    assert_eq!(copy["name"], "Orders for Bluebird");
    assert_eq!(copy["organization_id"], seed::FIRST_CHILD_ORGANIZATION);
    assert_eq!(copy["parent_connection_id"], seed::UNSHARED_CONNECTION);
    assert_eq!(copy["configuration"]["password"], "********");
    assert_eq!(copy["api_calls_last_24_hours"], Value::Null);

    let of_child = data(sandbox.get("/api/connections", seed::ORGANIZATION_KEY)).await;
    assert_eq!(of_child.as_array().unwrap().last().unwrap(), copy);
    let alone = format!("/api/connections/{}", id.as_str().unwrap());
    assert_eq!(data(sandbox.get(&alone, seed::ORGANIZATION_KEY)).await, *copy);

    let held = sandbox.handle.shares();
    assert_eq!(held.len(), 4);
    assert_eq!(held[3].id, id.as_str().unwrap());
    assert_eq!(held[3].parent_connection_id, seed::UNSHARED_CONNECTION);
    assert_eq!(held[3].organization_id, seed::FIRST_CHILD_ORGANIZATION);
    assert_eq!(held[3].name, "Orders for Bluebird");
}

#[tokio::test]
async fn copy_without_a_name_gets_its_parents() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    let child = seed::SECOND_CHILD_ORGANIZATION;
    for name in [json!({}), json!({ "name": null }), json!({ "name": "" })] {
        let mut body = name.clone();
        body["child_organization_id"] = json!(child);
        data(sandbox.post(&path, body.to_string())).await;
        let shares = sandbox.handle.shares();
        assert_eq!(shares.last().unwrap().name, seed::UNSHARED_CONNECTION_NAME, "{name}");
    }
}

#[tokio::test]
async fn lists_the_seeded_copies_with_the_nulls_that_the_api_allows() {
    let sandbox = Running::start().await;
    let path = shared(seed::SHARED_CONNECTION);
    let copies = data(sandbox.get(&path, seed::PARTNER_KEY)).await;
    assert_eq!(copies.as_array().unwrap().len(), 2);
    assert_eq!(copies[0]["id"], seed::FIRST_COPY);
    assert_eq!(copies[0]["name"], seed::SHARED_CONNECTION_NAME);
    assert_eq!(copies[1]["id"], seed::SECOND_COPY);
    assert_eq!(copies[1]["name"], seed::SECOND_COPY_NAME);
    for path in ["/api_calls_last_24_hours", "/configuration", "/type/operations"] {
        assert_eq!(copies[1].pointer(path), Some(&Value::Null), "{path}");
    }
    assert_eq!(copies[1].get("status_error"), None);
}

#[tokio::test]
async fn empty_list_is_an_array_or_null() {
    let sandbox = Running::start().await;
    let by_partner = sandbox.get(&shared(seed::UNSHARED_CONNECTION), seed::PARTNER_KEY);
    let path = format!("/api/connections/{}/shared", seed::UNSHARED_CONNECTION);
    let by_owner = sandbox.get(&path, seed::USER_KEY);
    for request in [by_partner, by_owner] {
        let again = request.try_clone().unwrap();
        sandbox.handle.send_null_when_empty(false);
        let (_, body) = response(request).await;
        assert_eq!(body, json!({ "data": [] }));
        sandbox.handle.send_null_when_empty(true);
        let (_, body) = response(again).await;
        assert_eq!(body, json!({ "data": null }));
    }
}

#[tokio::test]
async fn me_returns_the_owner_of_the_key() {
    let sandbox = Running::start().await;
    let partner = data(sandbox.get("/api/me", seed::PARTNER_KEY)).await;
    let expected = json!({
        "is_organization": false, "is_partner": true, "is_system": false, "is_user": false,
        "organization_id": seed::OWNER_ORGANIZATION,
        "organization_name": seed::OWNER_ORGANIZATION_NAME,
    });
    assert_eq!(partner, expected);
    let user = data(sandbox.get("/api/me", seed::USER_KEY)).await;
    assert_eq!(user["is_user"], true);
    assert_eq!(user["email"], "mail@example.com");
    assert_eq!(user["role"], "admin");
    let organization = data(sandbox.get("/api/me", seed::ORGANIZATION_KEY)).await;
    assert_eq!(organization["is_organization"], true);
    assert_eq!(organization["organization_name"], seed::FIRST_CHILD_ORGANIZATION_NAME);
    assert_eq!(organization.get("id"), None);
    let other = data(sandbox.get("/api/me", seed::OTHER_PARTNER_KEY)).await;
    assert_eq!(other["organization_id"], seed::OTHER_ORGANIZATION);
}

#[tokio::test]
async fn lists_a_partners_organizations_with_the_owner_first() {
    let sandbox = Running::start().await;
    let all = data(sandbox.get("/api/organizations", seed::PARTNER_KEY)).await;
    let ids: Vec<_> = all.as_array().unwrap().iter().map(|it| &it["id"]).collect();
    let expected = [
        seed::OWNER_ORGANIZATION,
        seed::FIRST_CHILD_ORGANIZATION,
        seed::SECOND_CHILD_ORGANIZATION,
        seed::THIRD_CHILD_ORGANIZATION,
    ];
    assert_eq!(ids, expected);
    let path = format!("/api/organizations/{}", seed::SECOND_CHILD_ORGANIZATION);
    assert_eq!(data(sandbox.get(&path, seed::PARTNER_KEY)).await, all[2]);
    let current = data(sandbox.get("/api/organization", seed::USER_KEY)).await;
    assert_eq!(current, all[0]);
}

#[tokio::test]
async fn gives_two_runs_the_same_ids() {
    let (first, second) = (Running::start().await, Running::start().await);
    for sandbox in [&first, &second] {
        data(sandbox.create()).await;
        data(sandbox.create()).await;
    }
    let shares = first.handle.shares();
    assert_eq!(shares, second.handle.shares());
    assert_ne!(shares[3].id, shares[4].id);
}

#[tokio::test]
async fn echoes_the_version_that_served() {
    let sandbox = Running::start().await;
    let latest_only = shared(seed::SHARED_CONNECTION);
    let table = [
        (Some("2025-09-18"), &*latest_only, 200, "2025-09-18"),
        (None, &*latest_only, 200, "2025-09-18"),
        (Some("2024-02-08"), &*latest_only, 404, "2024-02-08"),
        (Some("2021-05-23"), &*latest_only, 404, "2021-05-23"),
        (Some("2024-02-08"), "/api/organizations", 200, "2024-02-08"),
        (Some("2023-04-25"), "/api/me", 200, "2023-04-25"),
        (Some("2022-12-12"), "/api/me", 200, "2022-12-12"),
        (Some("2021-05-23"), "/api/nothing", 404, "2021-05-23"),
        (Some("2030-01-01"), "/api/me", 400, "2025-09-18"),
        (Some("latest"), &*latest_only, 400, "2025-09-18"),
    ];
    for (version, path, status, served) in table {
        let mut request = sandbox.get(path, seed::PARTNER_KEY);
        if let Some(version) = version {
            request = request.header("x-polytomic-version", version);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{version:?} {path}");
        assert_eq!(
            response.headers()["x-polytomic-version"],
            served,
            "{version:?} {path}"
        );
    }
}

#[tokio::test]
async fn logs_requests_without_their_keys() {
    let sandbox = Running::start().await;
    let path = shared(seed::UNSHARED_CONNECTION);
    data(sandbox.create().header("idempotency-key", "logged-create")).await;
    let queried = format!("{path}?limit=5");
    data(sandbox.get(&queried, seed::PARTNER_KEY)).await;
    response(sandbox.get("/api/me", "a-real-secret")).await;
    response(sandbox.client.request(Method::DELETE, format!("{}/api/me", sandbox.url)))
        .await;

    let log = sandbox.handle.requests();
    let seen: Vec<_> = log
        .iter()
        .map(|it| {
            let key = it.headers.get("authorization").map(|it| it.to_str().unwrap());
            let status = it.status.unwrap().as_u16();
            (it.method.as_str(), it.path.as_str(), key, status)
        })
        .collect();
    let expected = [
        ("POST", &*path, Some("partner"), 200),
        ("GET", &*queried, Some("partner"), 200),
        ("GET", "/api/me", Some("unknown"), 401),
        ("DELETE", "/api/me", None, 405),
    ];
    assert_eq!(seen, expected);
    assert_eq!(log[0].headers["idempotency-key"], "logged-create");
    assert_eq!(log[0].body, super::third_child());
    assert!(!format!("{log:?} {:?}", sandbox.handle).contains("secret"));

    sandbox.handle.clear_requests();
    assert!(sandbox.handle.requests().is_empty());
}
