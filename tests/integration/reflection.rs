//! Server reflection, read from the wire. Both versions have the same messages.

use std::collections::BTreeSet;

use kit::{
    Caller, Gateway,
    caller::{Reply, SERVICE, frame},
};
use prost::Message;
use prost_reflect::{DescriptorPool, Value};
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_reflection::pb::v1::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_request::MessageRequest::{
        self, AllExtensionNumbersOfType, FileByFilename, FileContainingExtension,
        FileContainingSymbol, ListServices,
    },
    server_reflection_response::MessageResponse,
};

const VERSIONS: [&str; 2] = ["v1", "v1alpha"];

const FILE: &str = "polytomic/connections/v1/partner_shared_connections_service.proto";

/// Sends requests on one stream. Returns the whole response.
async fn send(gateway: &Gateway, version: &str, requests: &[MessageRequest]) -> Reply {
    let mut body = Vec::new();
    for request in requests {
        let request = ServerReflectionRequest {
            host: "gateway".to_owned(),
            message_request: Some(request.clone()),
        };
        body.extend(frame(&request.encode_to_vec()));
    }
    let path =
        format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    Caller::list(gateway.address).path(&path).body(body).send().await
}

/// Returns the messages of a stream.
fn messages(mut body: &[u8]) -> Vec<ServerReflectionResponse> {
    let mut messages = Vec::new();
    while let Some(([_, length @ ..], rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length) as usize;
        messages.push(ServerReflectionResponse::decode(&rest[..length]).unwrap());
        body = &rest[length..];
    }
    messages
}

/// Sends requests on one stream. Returns the response to each.
async fn reflect(
    gateway: &Gateway,
    version: &str,
    requests: &[MessageRequest],
) -> Vec<MessageResponse> {
    let reply = send(gateway, version, requests).await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    let responses = messages(&reply.body);
    assert_eq!(responses.len(), requests.len());
    for (response, request) in responses.iter().zip(requests) {
        let original = response.original_request.as_ref().unwrap();
        assert_eq!(original.message_request.as_ref(), Some(request));
        assert_eq!(response.valid_host, "gateway");
    }
    responses.into_iter().map(|response| response.message_response.unwrap()).collect()
}

/// Returns the files of a response.
fn files(response: &MessageResponse) -> Vec<FileDescriptorProto> {
    let MessageResponse::FileDescriptorResponse(files) = response else {
        panic!("{response:?}")
    };
    let files = files.file_descriptor_proto.iter();
    files.map(|file| FileDescriptorProto::decode(&**file).unwrap()).collect()
}

/// Returns the name of the file that a response is about.
fn file(response: &MessageResponse) -> String {
    files(response)[0].name().to_owned()
}

/// Returns the code of an error within the stream.
fn error(response: &MessageResponse) -> i32 {
    let MessageResponse::ErrorResponse(error) = response else { panic!("{response:?}") };
    assert!(!error.error_message.is_empty());
    error.error_code
}

fn symbol(name: &str) -> MessageRequest {
    FileContainingSymbol(name.to_owned())
}

fn extension(containing_type: &str, extension_number: i32) -> MessageRequest {
    let containing_type = containing_type.to_owned();
    FileContainingExtension(ExtensionRequest { containing_type, extension_number })
}

#[tokio::test]
async fn all_services_are_listed() {
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        let responses = reflect(&gateway, version, &[ListServices(String::new())]).await;
        let MessageResponse::ListServicesResponse(list) = &responses[0] else {
            panic!("{responses:?}")
        };
        let names: Vec<&str> =
            list.service.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                SERVICE,
            ]
        );
    }
}

#[tokio::test]
async fn file_comes_with_all_that_it_imports() {
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        for request in [symbol(SERVICE), FileByFilename(FILE.to_owned())] {
            let responses = reflect(&gateway, version, &[request]).await;
            let files = files(&responses[0]);
            assert_eq!(files[0].name(), FILE, "the requested file is the first");
            let names: BTreeSet<&str> =
                files.iter().map(FileDescriptorProto::name).collect();
            assert_eq!(names.len(), files.len(), "each file once");
            for file in &files {
                for import in &file.dependency {
                    assert!(names.contains(&**import), "{import} of {}", file.name());
                }
            }
            assert!(names.contains("google/protobuf/descriptor.proto"), "not direct");
        }
    }
}

#[tokio::test]
async fn each_service_can_be_called_from_its_response_alone() {
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        for service in [
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest",
            "google.rpc.Status",
        ] {
            let responses = reflect(&gateway, version, &[symbol(service)]).await;
            let file = files(&responses[0]);
            let mut pool = DescriptorPool::new();
            pool.add_file_descriptor_protos(file).unwrap();
            let found = pool.get_service_by_name(service).is_some()
                || pool.get_message_by_name(service).is_some();
            assert!(found, "{service}");
        }
    }
}

#[tokio::test]
async fn options_of_an_rpc_are_served() {
    let gateway = Gateway::on_sandbox().await;
    let responses = reflect(&gateway, "v1", &[symbol(SERVICE)]).await;
    let MessageResponse::FileDescriptorResponse(response) = &responses[0] else {
        panic!("{responses:?}")
    };
    let mut pool = DescriptorPool::new();
    for file in response.file_descriptor_proto.iter().rev() {
        pool.decode_file_descriptor_proto(&**file).unwrap();
    }
    let service = pool.get_service_by_name(SERVICE).unwrap();
    let mut rpcs = service.methods();
    let list = rpcs.find(|rpc| rpc.name() == "ListPartnerSharedConnections").unwrap();
    let options = list.options();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let rule = options.get_extension(&http);
    let Value::Message(rule) = rule.as_ref() else { panic!("{rule:?}") };
    let path = rule.get_field_by_name("get").unwrap();
    assert!(path.as_str().unwrap().starts_with("/api/organizations/{org_id}"));
    assert!(pool.get_extension_by_name("polytomic.gateway.v1.rpc").is_some());
}

#[tokio::test]
async fn symbol_of_each_kind_leads_to_its_file() {
    const HEALTH: &str = "grpc/health/v1/health.proto";
    let gateway = Gateway::on_sandbox().await;
    for (name, expected) in [
        (SERVICE, FILE),
        (&format!("{SERVICE}.ListPartnerSharedConnections"), FILE),
        ("polytomic.connections.v1.Connection", FILE),
        ("polytomic.connections.v1.Connection.configuration", FILE),
        ("polytomic.gateway.v1.rpc", "polytomic/gateway/v1/options.proto"),
        ("polytomic.gateway.v1.KeyClass", "polytomic/gateway/v1/options.proto"),
        // The values of an enum are in the scope of the enum.
        ("polytomic.gateway.v1.KEY_CLASS_ANY", "polytomic/gateway/v1/options.proto"),
        ("google.protobuf.Value.kind", "google/protobuf/struct.proto"),
        ("grpc.health.v1.Health.List", HEALTH),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", HEALTH),
    ] {
        let responses = reflect(&gateway, "v1", &[symbol(name)]).await;
        assert_eq!(file(&responses[0]), expected, "{name}");
    }
}

#[tokio::test]
async fn extensions_are_found_by_type_and_number() {
    const METHOD: &str = "google.protobuf.MethodOptions";
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        let requests = [
            extension(METHOD, 51010),
            extension(METHOD, 72_295_728),
            extension("google.protobuf.FieldOptions", 1052),
            AllExtensionNumbersOfType(METHOD.to_owned()),
            AllExtensionNumbersOfType("google.rpc.Status".to_owned()),
        ];
        let responses = reflect(&gateway, version, &requests).await;
        assert_eq!(file(&responses[0]), "polytomic/gateway/v1/options.proto");
        assert_eq!(file(&responses[1]), "google/api/annotations.proto");
        assert_eq!(file(&responses[2]), "google/api/field_behavior.proto");
        let numbers = |response: &MessageResponse| match response {
            MessageResponse::AllExtensionNumbersResponse(all) => {
                (all.base_type_name.clone(), all.extension_number.clone())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers(&responses[3]), (METHOD.to_owned(), vec![51010, 72_295_728]));
        assert_eq!(numbers(&responses[4]), ("google.rpc.Status".to_owned(), vec![]));
    }
}

#[tokio::test]
async fn unknown_name_is_an_error_within_the_stream() {
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        let requests = [
            FileByFilename("nope.proto".to_owned()),
            symbol("nope.Nope"),
            symbol(""),
            extension("google.protobuf.MethodOptions", 1),
            extension("google.protobuf.MethodOptions", -1),
            extension("nope.Nope", 1),
            AllExtensionNumbersOfType("nope.Nope".to_owned()),
            symbol(SERVICE),
        ];
        let responses = reflect(&gateway, version, &requests).await;
        let (last, unknown) = responses.split_last().unwrap();
        for response in unknown {
            assert_eq!(error(response), Code::NotFound as i32);
        }
        assert_eq!(file(last), FILE, "the stream goes on");
    }
}

#[tokio::test]
async fn request_that_asks_for_nothing_is_an_error_within_the_stream() {
    let gateway = Gateway::on_sandbox().await;
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(ListServices(String::new())),
    };
    let body = [frame(&[]), frame(&list.encode_to_vec())].concat();
    let reply = Caller::list(gateway.address)
        .path("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        .body(body)
        .send()
        .await;
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    let responses = messages(&reply.body);
    assert_eq!(responses.len(), 2);
    let nothing = responses[0].message_response.as_ref().unwrap();
    assert_eq!(error(nothing), Code::InvalidArgument as i32);
}

#[tokio::test]
async fn imports_are_sent_once_per_stream() {
    let gateway = Gateway::on_sandbox().await;
    let http = "google/api/http.proto";
    let requests = [symbol(SERVICE), symbol(SERVICE), FileByFilename(http.to_owned())];
    let responses = reflect(&gateway, "v1", &requests).await;
    let names = |response| {
        let files: Vec<FileDescriptorProto> = files(response);
        files.iter().map(|file| file.name().to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&responses[0]).contains(&http.to_owned()));
    assert_eq!(names(&responses[1]), [FILE], "the client has the imports");
    assert_eq!(names(&responses[2]), [http], "what is asked for is sent again");
}

#[tokio::test]
async fn stream_over_64_kib_ends_with_an_error() {
    let gateway = Gateway::on_sandbox().await;
    for version in VERSIONS {
        let requests = vec![ListServices("h".repeat(10 * 1024)); 10];
        let reply = send(&gateway, version, &requests).await;
        assert_eq!(reply.code(), Code::ResourceExhausted, "{}", reply.message());
        assert_eq!(reply.reason(), "REQUEST_TOO_LARGE");
        let served = messages(&reply.body).len();
        assert!((1..=6).contains(&served), "{served} requests are in 64 KiB");
    }
}
