//! The table of RPCs, and RPCs that only `.proto` files add to it.

use std::{fmt::Write, fs};

use polytomic_gateway::contract::{Contract, DESCRIPTOR_SET};
use protox::Compiler;
use tonic::Code;

use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::{ID, Reply, frame},
    fake::Response,
};

#[test]
fn rpcs_are_those_of_the_golden_file() {
    let golden = fs::read_to_string("tests/integration/rpcs.golden").unwrap();
    let mut table = String::new();
    for rpc in Contract::compile(DESCRIPTOR_SET).unwrap().rpcs() {
        writeln!(table, "{rpc}").unwrap();
    }
    assert_eq!(
        table, golden,
        "an RPC was added or changed: update the file if this is intended"
    );
}

/// Returns the descriptors of files below `tests/integration/proto`.
fn descriptors(files: &[&str]) -> Vec<u8> {
    let mut compiler = Compiler::new(["tests/integration/proto", "proto"]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files).unwrap();
    compiler.encode_file_descriptor_set()
}

async fn gateway(file: &str, fake: &Fake) -> Gateway {
    let url = fake.url();
    let settings = kit::settings(&["--upstream-url", &url, "--no-key-check"]);
    Gateway::start(settings, &descriptors(&[file])).await
}

const EXTRA: &str = "extra/v1/extra_service.proto";
const CONNECTIONS: &str =
    "polytomic/connections/v1/partner_shared_connections_service.proto";
const ORGANIZATION: &str = "organizations/v1/organization_service.proto";

fn get_organization(gateway: &Gateway) -> Caller {
    // GetOrganizationRequest { id }
    let message = [b"\x0a\x24", ID.as_bytes()].concat();
    Caller::list(gateway.address)
        .path("/organizations.v1.OrganizationService/GetOrganization")
        .body(frame(&message))
}

fn rename_team(gateway: &Gateway) -> Caller {
    // RenameTeamRequest { org_id, team = "a/b ?", rename { name, tags }, dry_run }
    let id = [b"\x0a\x24", ID.as_bytes()].concat();
    let rest = b"\x12\x05a/b ?\x1a\x0c\x0a\x04Acme\x12\x01x\x12\x01y\x20\x01";
    Caller::list(gateway.address)
        .path("/extra.v1.ExtraService/RenameTeam")
        .body(frame(&[&id, &rest[..]].concat()))
}

#[tokio::test]
async fn documented_example_is_served() {
    let fake =
        Fake::json(200, r#"{"data":{"id":"7","name":"Acme","issuer":null}}"#).await;
    let gateway = gateway(ORGANIZATION, &fake).await;
    let reply = get_organization(&gateway).send().await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    assert_eq!(fake.only().line, format!("GET /api/organizations/{ID} HTTP/1.1"));
    // GetOrganizationResponse { organization { id, name } }
    assert_eq!(reply.body[5..], b"\x0a\x09\x0a\x017\x12\x04Acme"[..]);
}

#[tokio::test]
async fn documented_example_fails_with_the_words_of_its_declaration() {
    let fake = Fake::responding(
        Protocol::Http1,
        [
            Response::json(404, r#"{"message":"not found"}"#),
            Response::json(403, r#"{"message":"no"}"#),
        ],
    )
    .await;
    let gateway = gateway(ORGANIZATION, &fake).await;
    let reply = get_organization(&gateway).send().await;
    assert_eq!(reply.code(), Code::NotFound);
    assert_eq!(
        reply.message(),
        "Polytomic responded with 404: not found. Polytomic found no such resource for \
         these credentials: check the IDs in the request. Retrying unchanged will not help."
    );
    let details = reply.details();
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_type, "polytomic.Organization");
    assert_eq!(resource.resource_name, ID);
    assert_eq!(help(&reply), REFERENCE);

    let reply = get_organization(&gateway).send().await;
    assert_eq!(reply.code(), Code::PermissionDenied);
    assert_eq!(
        reply.message(),
        "Polytomic responded with 403: no. The credentials are valid but do not permit this \
         call, which needs a partner key. Retrying unchanged will not help."
    );
    assert_eq!(help(&reply), REFERENCE);
}

#[tokio::test]
async fn rpc_that_declares_nothing_fails_with_words_that_are_true_of_each() {
    let fake = Fake::responding(
        Protocol::Http1,
        [Response::json(403, "{}"), Response::json(413, "{}"), Response::json(401, "{}")],
    )
    .await;
    let gateway = gateway(EXTRA, &fake).await;
    let forbidden = rename_team(&gateway).send().await;
    assert_eq!(
        forbidden.message(),
        "Polytomic responded with 403 Forbidden. The credentials are valid but do not permit \
         this call. Retrying unchanged will not help."
    );
    assert_eq!(help(&forbidden), REFERENCE);

    let too_large = rename_team(&gateway).send().await;
    assert_eq!(too_large.code(), Code::InvalidArgument);
    assert!(too_large.details().bad_request().is_none(), "Polytomic named no field");

    let unauthorized = rename_team(&gateway).send().await;
    assert_eq!(
        unauthorized.message(),
        "Polytomic responded with 401 Unauthorized. The key in `authorization` is unknown or \
         revoked: send a valid key. Retrying unchanged will not help."
    );
}

#[tokio::test]
async fn class_of_a_key_is_checked_only_for_an_rpc_that_declares_one() {
    let me = r#"{"data":{"is_partner":false,"is_user":true}}"#;
    let fake = Fake::responding(
        Protocol::Http1,
        [Response::json(200, me), Response::json(200, "{\"data\":{}}")],
    )
    .await;
    let both = descriptors(&[ORGANIZATION, EXTRA]);
    let url = fake.url();
    let settings = kit::settings(&["--upstream-url", &url]);
    let gateway = Gateway::start(settings, &both).await;

    let rejected = get_organization(&gateway).send().await;
    assert_eq!(rejected.reason(), "PARTNER_KEY_REQUIRED");
    assert_eq!(
        rejected.message(),
        "A partner key is needed, and the class of the caller's key is user. Polytomic \
         accepts only partner keys for this call. Retrying unchanged will not help."
    );
    let served = rename_team(&gateway).send().await;
    assert_eq!(served.code(), Code::Ok, "{}", served.message());
}

/// Returns the address that an error links to.
fn help(reply: &Reply) -> String {
    let details = reply.details();
    details.help().unwrap().links[0].url.clone()
}

const REFERENCE: &str = "https://apidocs.polytomic.com/";

#[tokio::test]
async fn rpc_is_served_from_its_declaration_alone() {
    let fake = Fake::json(
        200,
        r#"{"data":{"name":"Acme","members":[{"email":"a@example.com"},{}]},"page":7}"#,
    )
    .await;
    let gateway = gateway(EXTRA, &fake).await;

    let reply = rename_team(&gateway).send().await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    let seen = fake.only();
    assert_eq!(
        seen.line,
        format!("PATCH /api/organizations/{ID}/teams/a%2Fb%20%3F?dry_run=true HTTP/1.1")
    );
    assert_eq!(seen.body, br#"{"name":"Acme","tags":["x","y"]}"#);
    assert_eq!(
        seen.header("idempotency-key"),
        None,
        "Polytomic documents it for POST only"
    );
    // RenameTeamResponse { team { name, members [{ email }, {}] } }
    let expected = b"\x0a\x19\x0a\x04Acme\x12\x0f\x0a\x0da@example.com\x12\x00";
    assert_eq!(reply.body[5..], expected[..]);
}

#[tokio::test]
async fn api_version_is_one_that_has_the_rpc() {
    let fake = Fake::json(200, r#"{"data":{}}"#).await;
    let both = descriptors(&[CONNECTIONS, EXTRA]);
    let url = fake.url();
    let settings = kit::settings(&["--upstream-url", &url, "--no-key-check"]);
    let gateway = Gateway::start(settings, &both).await;
    let old = "2024-02-08";

    let list = Caller::list(gateway.address);
    let rejected = list.with("x-polytomic-version", old).send().await;
    assert_eq!(rejected.code(), Code::InvalidArgument);
    assert_eq!(rejected.violations(), ["metadata.x-polytomic-version"]);
    assert!(fake.seen().is_empty());

    // An RPC that declares no versions exists in each.
    let served = rename_team(&gateway).with("x-polytomic-version", old).send().await;
    assert_eq!(served.code(), Code::Ok, "{}", served.message());
    assert_eq!(fake.only().header("x-polytomic-version"), Some(old));
}

#[test]
fn default_api_version_without_an_rpc_is_rejected_at_the_start() {
    let settings = kit::settings(&["--sandbox", "--api-version", "2024-02-08"]);
    let contract = |files| Contract::compile(&descriptors(files)).unwrap();
    let problem = settings.settings(&contract(&[EXTRA, CONNECTIONS])).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "--api-version: 2024-02-08 does not have \
         polytomic.connections.v1.PartnerSharedConnectionsService/\
         CreatePartnerSharedConnection; use 2025-09-18"
    );
    assert!(settings.settings(&contract(&[EXTRA])).is_ok());
}

#[tokio::test]
async fn violation_in_a_nested_message_names_the_path_of_the_field() {
    let fake = Fake::answering([]).await;
    let gateway = gateway(EXTRA, &fake).await;
    let reply = Caller::list(gateway.address)
        .path("/extra.v1.ExtraService/RenameTeam")
        .body(frame(b"\x1a\x00"))
        .send()
        .await;
    assert_eq!(reply.code(), Code::InvalidArgument);
    assert_eq!(reply.violations(), ["org_id", "team", "rename.name"]);
}
