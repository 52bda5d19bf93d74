//! Invalid requests: a precise status, all violations together, and no request to
//! Polytomic.

use kit::{
    Caller, Fake, Gateway,
    caller::{ID, KEY, frame},
};
use polytomic_gateway::proto::{
    CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest,
};
use prost::Message;
use tonic::Code;

/// A gateway whose upstream must not receive a request.
struct Environment {
    fake: Fake,
    gateway: Gateway,
}

impl Environment {
    async fn start() -> Self {
        let fake = Fake::answering([]).await;
        let gateway = Gateway::on(&fake).await;
        Self { fake, gateway }
    }

    fn list(&self) -> Caller {
        Caller::list(self.gateway.address)
    }

    fn create(&self) -> Caller {
        Caller::create(self.gateway.address)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        assert_eq!(self.fake.seen().len(), 0, "Polytomic received a request");
    }
}

#[tokio::test]
async fn id_that_is_no_uuid_is_an_invalid_argument() {
    let environment = Environment::start().await;
    let braced = format!("{{{ID}}}");
    for id in
        ["", "x", &braced, "..", "%2f", "%2e%2e%2fadmin", "a/b", "\0", "?", "#", "ü"]
    {
        let message = ListPartnerSharedConnectionsRequest {
            org_id: id.to_owned(),
            connection_id: ID.to_owned(),
        };
        let reply = environment.list().body(frame(&message.encode_to_vec())).send().await;
        assert_eq!(reply.code(), Code::InvalidArgument, "{id:?}");
        assert_eq!(reply.violations(), ["org_id"], "{id:?}");
        assert_eq!(reply.reason(), "INVALID_FIELD");
    }
}

#[tokio::test]
async fn all_violations_are_returned_together() {
    let environment = Environment::start().await;
    let message = CreatePartnerSharedConnectionRequest {
        org_id: "x".to_owned(),
        connection_id: String::new(),
        child_organization_id: "y".to_owned(),
        name: Some("\u{7}".to_owned()),
    };
    let reply = environment
        .create()
        .with("idempotency-key", "short")
        .with("x-polytomic-version", "1999-12-31")
        .with("grpc-timeout", "soon")
        .body(frame(&message.encode_to_vec()))
        .send()
        .await;
    assert_eq!(reply.code(), Code::InvalidArgument);
    let mut violations = reply.violations();
    violations.sort_unstable();
    assert_eq!(
        violations,
        [
            "child_organization_id",
            "connection_id",
            "metadata.grpc-timeout",
            "metadata.idempotency-key",
            "metadata.x-polytomic-version",
            "name",
            "org_id",
        ]
    );
}

#[tokio::test]
async fn api_version_without_the_rpc_is_an_invalid_argument() {
    let environment = Environment::start().await;
    for caller in [Environment::list, Environment::create] {
        for version in ["2024-02-08", "2023-04-25", "2022-12-12", "2021-05-23", "next"] {
            let reply =
                caller(&environment).with("x-polytomic-version", version).send().await;
            assert_eq!(reply.code(), Code::InvalidArgument, "{version}");
            assert_eq!(reply.reason(), "INVALID_FIELD");
            let details = reply.details();
            let [violation] = &details.bad_request().unwrap().field_violations[..] else {
                panic!("{details:?}")
            };
            assert_eq!(violation.field, "metadata.x-polytomic-version");
            assert_eq!(
                violation.description,
                "must be a version of Polytomic's API that has this RPC, sent once: 2025-09-18"
            );
        }
    }
}

#[tokio::test]
async fn message_of_a_megabyte_is_resource_exhausted() {
    let environment = Environment::start().await;
    let message = ListPartnerSharedConnectionsRequest {
        org_id: "4".repeat(1 << 20),
        connection_id: ID.to_owned(),
    };
    let reply = environment.list().body(frame(&message.encode_to_vec())).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted, "{}", reply.message());
    assert_eq!(reply.reason(), "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn undecodable_message_is_an_invalid_argument() {
    let environment = Environment::start().await;
    for garbage in [&b"\xff\xff\xff"[..], b"\x0a\x24short", b"\x08\x01", b"\x00"] {
        let reply = environment.list().body(frame(garbage)).send().await;
        assert_eq!(
            reply.code(),
            Code::InvalidArgument,
            "{garbage:?}: {}",
            reply.message()
        );
        assert_eq!(reply.reason(), "INVALID_MESSAGE");
    }
}

#[tokio::test]
async fn unknown_field_is_an_invalid_argument() {
    let environment = Environment::start().await;
    let known = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    };
    let message = [known.encode_to_vec(), vec![0x4a, 1, b'x']].concat();
    let reply = environment.list().body(frame(&message)).send().await;
    assert_eq!(reply.code(), Code::InvalidArgument);
    assert_eq!(reply.violations(), ["9"]);
}

#[tokio::test]
async fn rpc_without_credentials_is_unauthenticated() {
    let environment = Environment::start().await;
    let reply = environment.list().without("authorization").send().await;
    assert_eq!(reply.code(), Code::Unauthenticated);
    assert_eq!(reply.reason(), "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn malformed_credentials_are_unauthenticated() {
    let environment = Environment::start().await;
    for value in [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        "Basic dXNlcjpwYXNz",
        "Bearer two keys",
        "Bearer \u{e9}",
    ] {
        let reply = environment
            .list()
            .without("authorization")
            .with("authorization", value)
            .send()
            .await;
        assert_eq!(reply.code(), Code::Unauthenticated, "{value:?}");
        assert_eq!(reply.reason(), "CREDENTIALS_MALFORMED", "{value:?}");
    }
    let reply = environment.list().with("authorization", "Bearer another").send().await;
    assert_eq!(reply.code(), Code::Unauthenticated);
    assert_eq!(reply.reason(), "CREDENTIALS_MALFORMED");
}
