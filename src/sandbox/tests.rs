#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{Handle, Sandbox, seed};

mod idempotency;
mod killed;
mod network;
mod pages;
mod rejections;

/// Longer than any test takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// A sandbox that serves, and its client.
struct Running {
    handle: Handle,
    url: String,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (handle, url) = (sandbox.handle(), sandbox.url());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(sandbox.run(async { drop(stopped.await) }));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { handle, url, client, stop, served }
    }

    fn call(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(key)
    }

    fn get(&self, path: &str, key: &str) -> RequestBuilder {
        self.call(Method::GET, path, key)
    }

    /// A create by the partner, with `body` as it stands.
    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.call(Method::POST, path, seed::PARTNER_KEY)
            .header("content-type", "application/json")
            .body(body)
    }

    /// A create of the unshared connection, for the third child.
    fn create(&self) -> RequestBuilder {
        self.post(&shared(seed::UNSHARED_CONNECTION), third_child())
    }
}

/// The path of the shared copies of a connection of the owner organization.
fn shared(connection: &str) -> String {
    shared_in(seed::OWNER_ORGANIZATION, connection)
}

fn shared_in(organization: &str, connection: &str) -> String {
    format!("/api/organizations/{organization}/connections/{connection}/shared")
}

fn third_child() -> String {
    json!({ "child_organization_id": seed::THIRD_CHILD_ORGANIZATION }).to_string()
}

async fn response(request: RequestBuilder) -> (StatusCode, Value) {
    let response = timeout(LONG, request.send()).await.unwrap().unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// Sends a request that must succeed, and returns the `data` of its response.
async fn data(request: RequestBuilder) -> Value {
    let (status, body) = response(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["data"].clone()
}

/// Sends a request that must get an `ApiError`, and returns its status and key.
async fn rejection(request: RequestBuilder) -> (u16, String) {
    let (status, body) = response(request).await;
    assert_eq!(body["status"], status.as_u16(), "{body}");
    assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
    (status.as_u16(), body["key"].as_str().unwrap().to_owned())
}

/// Waits until a condition holds.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, holds).await.unwrap();
}
