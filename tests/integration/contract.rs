//! The table of RPCs, and RPCs that only `.proto` files add to it.

use std::{fmt::Write, fs};

use polytomic_gateway::contract::{Contract, DESCRIPTOR_SET};
use protox::Compiler;
use tonic::Code;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use kit::{
    Caller, Fake, Gateway,
    caller::{ID, frame},
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

/// Returns the descriptors of a file below `tests/integration/proto`.
fn descriptors(file: &str) -> Vec<u8> {
    let mut compiler = Compiler::new(["tests/integration/proto", "proto"]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(file).unwrap();
    compiler.encode_file_descriptor_set()
}

async fn gateway(file: &str, fake: &Fake) -> Gateway {
    let url = fake.url();
    let settings = kit::settings(&["--upstream-url", &url, "--no-key-check"]);
    Gateway::start(settings, &descriptors(file)).await
}

const EXTRA: &str = "extra/v1/extra_service.proto";
const ORGANIZATION: &str = "organizations/v1/organization_service.proto";

fn get_organization(gateway: &Gateway) -> Caller {
    // GetOrganizationRequest { id }
    let message = [b"\x0a\x24", ID.as_bytes()].concat();
    Caller::list(gateway.address)
        .path("/organizations.v1.OrganizationService/GetOrganization")
        .body(frame(&message))
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
async fn documented_example_names_its_resource_in_a_404() {
    let fake = Fake::json(404, r#"{"message":"not found"}"#).await;
    let gateway = gateway(ORGANIZATION, &fake).await;
    let reply = get_organization(&gateway).send().await;
    assert_eq!(reply.code(), Code::NotFound);
    let details = reply.details();
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_type, "polytomic.Organization");
    assert_eq!(resource.resource_name, ID);
}

#[tokio::test]
async fn rpc_is_served_from_its_declaration_alone() {
    let fake = Fake::json(
        200,
        r#"{"data":{"name":"Acme","members":[{"email":"a@example.com"},{}]},"page":7}"#,
    )
    .await;
    let gateway = gateway(EXTRA, &fake).await;

    // RenameTeamRequest { org_id, team = "a/b ?", rename { name, tags }, dry_run }
    let mut message = vec![0x0a, 36];
    message.extend_from_slice(ID.as_bytes());
    message.extend_from_slice(b"\x12\x05a/b ?");
    message.extend_from_slice(b"\x1a\x0c\x0a\x04Acme\x12\x01x\x12\x01y");
    message.extend_from_slice(b"\x20\x01");
    let reply = Caller::list(gateway.address)
        .path("/extra.v1.ExtraService/RenameTeam")
        .body(frame(&message))
        .send()
        .await;

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

#[tokio::test]
async fn reflection_serves_the_options_of_rpcs() {
    let gateway = Gateway::on_sandbox().await;
    let mut client = ServerReflectionClient::new(gateway.channel().await);
    let symbol = "polytomic.gateway.v1.RpcOptions".to_owned();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol)),
    };
    let requests = tokio_stream::iter([request]);
    let mut responses =
        client.server_reflection_info(requests).await.unwrap().into_inner();
    let response = responses.message().await.unwrap().unwrap().message_response;
    assert!(
        matches!(response, Some(MessageResponse::FileDescriptorResponse(_))),
        "{response:?}"
    );
}
