//! The gateway that one would write in an hour: a method per RPC, reqwest, and serde
//! into the generated messages. It has none of the gateway's features.

use bytes::Bytes;
use clap::Parser;
use gateway_bench::{
    Arguments, Error,
    proto::{
        CreatePartnerSharedConnectionRequest, CreatePartnerSharedConnectionResponse,
        ListPartnerSharedConnectionsRequest, ListPartnerSharedConnectionsResponse,
        StreamPartnerSharedConnectionsRequest, StreamPartnerSharedConnectionsResponse,
        partner_shared_connections_service_server::{
            PartnerSharedConnectionsService, PartnerSharedConnectionsServiceServer,
        },
    },
};
use reqwest::{
    Certificate, Client, RequestBuilder,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    codegen::BoxStream,
    metadata::MetadataMap,
    transport::{Server, server::TcpIncoming},
};

struct Forwarder {
    client: Client,
    upstream: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let certificate = Certificate::from_pem(&std::fs::read(&arguments.ca_file)?)?;
    let client = Client::builder().tls_certs_only([certificate]).build()?;
    let forwarder = Forwarder { client, upstream: arguments.upstream };
    let listener = TcpListener::bind(arguments.listen).await?;
    Server::builder()
        .add_service(PartnerSharedConnectionsServiceServer::new(forwarder))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

impl Forwarder {
    fn url(&self, org_id: &str, connection_id: &str) -> String {
        format!(
            "{}/api/organizations/{org_id}/connections/{connection_id}/shared",
            self.upstream
        )
    }
}

#[tonic::async_trait]
impl PartnerSharedConnectionsService for Forwarder {
    async fn list_partner_shared_connections(
        &self,
        request: Request<ListPartnerSharedConnectionsRequest>,
    ) -> Result<Response<ListPartnerSharedConnectionsResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let url = self.url(&message.org_id, &message.connection_id);
        send(self.client.get(url), &metadata).await
    }

    type StreamPartnerSharedConnectionsStream =
        BoxStream<StreamPartnerSharedConnectionsResponse>;

    async fn stream_partner_shared_connections(
        &self,
        _: Request<StreamPartnerSharedConnectionsRequest>,
    ) -> Result<Response<Self::StreamPartnerSharedConnectionsStream>, Status> {
        Err(Status::unimplemented("a list is not streamed"))
    }

    async fn create_partner_shared_connection(
        &self,
        request: Request<CreatePartnerSharedConnectionRequest>,
    ) -> Result<Response<CreatePartnerSharedConnectionResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let url = self.url(&message.org_id, &message.connection_id);
        let body = json!({
            "child_organization_id": message.child_organization_id,
            "name": message.name,
        });
        let body = self.client.post(url).body(body.to_string());
        send(body.header(CONTENT_TYPE, "application/json"), &metadata).await
    }
}

async fn send<T: DeserializeOwned>(
    request: RequestBuilder,
    metadata: &MetadataMap,
) -> Result<Response<T>, Status> {
    let key = metadata.get("authorization").and_then(|key| key.to_str().ok());
    let request = request.header(AUTHORIZATION, key.unwrap_or_default());
    let response = request.send().await.map_err(unavailable)?;
    if !response.status().is_success() {
        return Err(Status::unknown(response.status().to_string()));
    }
    let json: Bytes = response.bytes().await.map_err(unavailable)?;
    let message = serde_json::from_slice(&json);
    message.map(Response::new).map_err(|error| Status::internal(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the argument of `map_err`")]
fn unavailable(error: reqwest::Error) -> Status {
    Status::unavailable(error.to_string())
}
