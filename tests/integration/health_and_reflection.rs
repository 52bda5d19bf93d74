//! Health and reflection, called with their generated clients.

use kit::{Gateway, caller::SERVICE};
use prost_reflect::{DescriptorPool, Value};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

#[tokio::test]
async fn server_and_each_service_are_serving() {
    let gateway = Gateway::on_sandbox().await;
    let mut client = HealthClient::new(gateway.channel().await);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = client.check(request).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest { service: "nope".to_owned() };
    assert_eq!(client.check(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn watch_of_an_unknown_service_stays_open() {
    let gateway = Gateway::on_sandbox().await;
    let mut client = HealthClient::new(gateway.channel().await);
    let request = HealthCheckRequest { service: "nope".to_owned() };
    let mut states = client.watch(request).await.unwrap().into_inner();
    let state = states.message().await.unwrap().unwrap();
    assert_eq!(state.status(), ServingStatus::ServiceUnknown);
    let stopping = tokio::spawn(gateway.stop());
    assert!(states.message().await.unwrap().is_none(), "the watch ends with the server");
    stopping.await.unwrap();
}

#[tokio::test]
async fn watches_report_not_serving_on_shutdown() {
    let gateway = Gateway::on_sandbox().await;
    let mut client = HealthClient::new(gateway.channel().await);
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut states = client.watch(request).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::spawn(gateway.stop());
    assert_eq!(
        states.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    drop(states);
    stopping.await.unwrap();
}

async fn reflect(gateway: &Gateway, request: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(gateway.channel().await);
    let request =
        ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = tokio_stream::once(request);
    let mut responses =
        client.server_reflection_info(requests).await.unwrap().into_inner();
    responses.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let gateway = Gateway::on_sandbox().await;
    let response = reflect(&gateway, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = response else {
        panic!("{response:?}")
    };
    let names: Vec<&str> =
        list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn reflection_serves_the_http_option_of_an_rpc() {
    let gateway = Gateway::on_sandbox().await;
    let symbol = MessageRequest::FileContainingSymbol(SERVICE.to_owned());
    let response = reflect(&gateway, symbol).await;
    let MessageResponse::FileDescriptorResponse(file) = response else {
        panic!("{response:?}")
    };
    let bytes = &file.file_descriptor_proto[0];
    // The compiled set has the files that this one imports.
    let pool =
        DescriptorPool::decode(polytomic_gateway::contract::DESCRIPTOR_SET).unwrap();
    let mut alone = DescriptorPool::new();
    let is_served = |name: &str| name.starts_with("polytomic/connections/");
    for file in pool.files().filter(|file| !is_served(file.name())) {
        alone.decode_file_descriptor_proto(&*file.encode_to_vec()).unwrap();
    }
    alone.decode_file_descriptor_proto(&**bytes).unwrap();
    let service = alone.get_service_by_name(SERVICE).unwrap();
    let list = service
        .methods()
        .find(|rpc| rpc.name() == "ListPartnerSharedConnections")
        .unwrap();
    let http = alone.get_extension_by_name("google.api.http").unwrap();
    let options = list.options();
    let rule = options.get_extension(&http);
    let Value::Message(rule) = rule.as_ref() else { panic!("{rule:?}") };
    let path = rule.get_field_by_name("get").unwrap();
    assert!(path.as_str().unwrap().starts_with("/api/organizations/{org_id}"));
}

#[tokio::test]
async fn reflection_serves_the_types_of_error_details() {
    let gateway = Gateway::on_sandbox().await;
    for name in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"]
    {
        let response =
            reflect(&gateway, MessageRequest::FileContainingSymbol(name.to_owned()))
                .await;
        assert!(matches!(response, MessageResponse::FileDescriptorResponse(_)), "{name}");
    }
}

#[tokio::test]
async fn reflection_stream_over_64_kib_is_ended() {
    let gateway = Gateway::on_sandbox().await;
    let mut client = ServerReflectionClient::new(gateway.channel().await);
    let request = ServerReflectionRequest {
        host: "h".repeat(10 * 1024),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter(std::iter::repeat_n(request, 10));
    let mut responses =
        client.server_reflection_info(requests).await.unwrap().into_inner();
    let mut served = 0;
    // tonic-reflection drops the error of a request stream, so the end is OK.
    while responses.message().await.unwrap().is_some() {
        served += 1;
    }
    assert_eq!(served, 6, "64 KiB have arrived after six requests");
}
