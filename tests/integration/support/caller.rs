//! A caller on bare HTTP/2. Generated clients rewrite some outcomes, so what
//! is promised about the wire is looked up on the wire.

use std::{error::Error, net::SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use polytomic_gateway::proto::{
    CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest,
};
use prost::Message;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

pub(crate) const SERVICE: &str =
    "polytomic.connections.v1.PartnerSharedConnectionsService";
pub(crate) const ID: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";
pub(crate) const KEY: &str = "sandbox-partner-key";

/// A request, to be changed by a test before it is sent.
pub(crate) struct Caller {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A response, as it was on the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    trailers: HeaderMap,
}

impl Caller {
    /// A list of the documented connection's copies.
    pub(crate) fn list(address: SocketAddr) -> Self {
        Self::new(address, "ListPartnerSharedConnections", &list_request())
    }

    /// A create of a copy of the documented connection.
    pub(crate) fn create(address: SocketAddr) -> Self {
        let message = CreatePartnerSharedConnectionRequest {
            org_id: ID.to_owned(),
            connection_id: ID.to_owned(),
            child_organization_id: ID.to_owned(),
            name: None,
        };
        Self::new(address, "CreatePartnerSharedConnection", &message)
    }

    pub(crate) fn new(address: SocketAddr, rpc: &str, message: &impl Message) -> Self {
        Self {
            address,
            path: format!("/{SERVICE}/{rpc}"),
            headers: [
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("authorization", &format!("Bearer {KEY}")),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            body: frame(&message.encode_to_vec()),
        }
    }

    /// Adds a value to the metadata.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a name from the metadata.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Calls another path.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Sends other bytes, with their frame.
    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) async fn send(self) -> Reply {
        self.try_send().await.unwrap()
    }

    /// Sends a request to a server that may go away.
    pub(crate) async fn try_send(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut send, connection) = h2::client::handshake(stream).await?;
        let connection = Connection(tokio::spawn(connection));
        let mut request = Request::post(format!("http://{}{}", self.address, self.path))
            .body(())
            .unwrap();
        for (name, value) in &self.headers {
            let name: http::HeaderName = name.parse().unwrap();
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(name, value);
        }
        std::future::poll_fn(|context| send.poll_ready(context)).await?;
        let (response, mut stream) = send.send_request(request, false)?;
        // A server that has heard enough may reset the stream before its end.
        let _ = stream.send_data(self.body.into(), true);

        let (parts, mut incoming) = response.await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(data) = incoming.data().await {
            let data = data?;
            incoming.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        let trailers = incoming.trailers().await?;
        drop(connection);
        Ok(Reply {
            status: parts.status,
            // A response without a body has its trailers in the place of headers.
            trailers: trailers.unwrap_or_else(|| parts.headers.clone()),
            headers: parts.headers,
            body: body.freeze(),
        })
    }
}

/// A connection that is closed when its caller goes away.
struct Connection(tokio::task::JoinHandle<Result<(), h2::Error>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reply {
    /// Returns the gRPC status, with its details.
    pub(crate) fn grpc(&self) -> tonic::Status {
        tonic::Status::from_header_map(&self.trailers)
            .unwrap_or_else(|| panic!("no grpc-status: {self:?}"))
    }

    pub(crate) fn code(&self) -> Code {
        self.grpc().code()
    }

    pub(crate) fn message(&self) -> String {
        self.grpc().message().to_owned()
    }

    pub(crate) fn details(&self) -> ErrorDetails {
        self.grpc().get_error_details()
    }

    /// Returns the reason of the error.
    pub(crate) fn reason(&self) -> String {
        self.details().error_info().unwrap().reason.clone()
    }

    /// Returns a value of the error's metadata.
    pub(crate) fn error_metadata(&self, key: &str) -> Option<String> {
        self.details().error_info().unwrap().metadata.get(key).cloned()
    }

    /// Returns the fields that broke a rule.
    pub(crate) fn violations(&self) -> Vec<String> {
        let details = self.details();
        let request = details.bad_request().unwrap();
        request.field_violations.iter().map(|violation| violation.field.clone()).collect()
    }

    /// Returns how many bytes the trailers have, as HTTP/2 counts them.
    pub(crate) fn trailer_size(&self) -> usize {
        self.trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum()
    }

    /// Returns the message of a response that is OK.
    pub(crate) fn decode<T: Message + Default>(&self) -> T {
        assert_eq!(self.code(), Code::Ok, "{}", self.message());
        assert_eq!(self.body[0], 0, "the message is compressed");
        let length = u32::from_be_bytes(self.body[1..5].try_into().unwrap()) as usize;
        assert_eq!(self.body.len(), 5 + length);
        T::decode(&self.body[5..]).unwrap()
    }
}

/// Returns the request for the documented connection's copies.
pub(crate) fn list_request() -> ListPartnerSharedConnectionsRequest {
    ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    }
}

/// Puts a message into the frame that gRPC sends it in.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.extend_from_slice(message);
    framed
}
