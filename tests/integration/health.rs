//! Health, called with its generated client.

use std::collections::HashMap;

use kit::{
    Caller, Gateway,
    caller::{SERVICE, frame},
};
use prost::Message;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
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

#[tokio::test]
async fn list_has_the_states_of_all_services() {
    #[derive(Clone, PartialEq, Message)]
    struct HealthListResponse {
        #[prost(map = "string, message", tag = "1")]
        statuses: HashMap<String, HealthCheckResponse>,
    }

    let gateway = Gateway::on_sandbox().await;
    let list = Caller::list(gateway.address).path("/grpc.health.v1.Health/List");
    let reply = list.body(frame(&[])).send().await;
    assert_eq!(reply.headers["content-type"], "application/grpc");
    let statuses = reply.decode::<HealthListResponse>().statuses;
    let mut services: Vec<&str> = statuses.keys().map(String::as_str).collect();
    services.sort_unstable();
    assert_eq!(services, ["", SERVICE]);
    for (service, state) in &statuses {
        assert_eq!(state.status(), ServingStatus::Serving, "{service}");
    }
}
