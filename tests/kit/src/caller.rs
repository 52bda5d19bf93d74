//! A client on bare HTTP/2. Generated clients rewrite some outcomes, so tests read
//! the outcome from the wire.

use std::{error::Error, net::SocketAddr};

use bytes::{BufMut, Bytes};
use http::{HeaderMap, StatusCode};
use polytomic_gateway::proto::{
    CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest,
    StreamPartnerSharedConnectionsRequest,
};
use prost::Message;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    HANG_GUARD,
    connection::{Connection, Driver},
};

pub const SERVICE: &str = "polytomic.connections.v1.PartnerSharedConnectionsService";
pub const ID: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";
pub const KEY: &str = "sandbox-partner-key";

/// The path of the list.
pub const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                        ListPartnerSharedConnections";

/// The path of the stream.
pub const STREAM: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                          StreamPartnerSharedConnections";

/// The metadata of every RPC, with [`KEY`].
pub const METADATA: [(&str, &str); 3] = [
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("authorization", "Bearer sandbox-partner-key"),
];

/// A request, which a test may change before sending it.
pub struct Caller {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    tls: Option<TlsConnector>,
}

/// A response, as it was on the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Caller {
    /// A list of the documented connection's shared copies.
    pub fn list(address: SocketAddr) -> Self {
        Self::new(address, "ListPartnerSharedConnections", &list_request())
    }

    /// A stream of the same list.
    pub fn stream(address: SocketAddr) -> Self {
        Self::new(address, "StreamPartnerSharedConnections", &stream_request())
    }

    /// A create of a shared copy of the documented connection.
    pub fn create(address: SocketAddr) -> Self {
        let message = CreatePartnerSharedConnectionRequest {
            org_id: ID.to_owned(),
            connection_id: ID.to_owned(),
            child_organization_id: ID.to_owned(),
            name: None,
        };
        Self::new(address, "CreatePartnerSharedConnection", &message)
    }

    pub fn new(address: SocketAddr, rpc: &str, message: &impl Message) -> Self {
        Self {
            address,
            path: format!("/{SERVICE}/{rpc}"),
            headers: METADATA
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: frame(&message.encode_to_vec()),
            tls: None,
        }
    }

    /// Calls within TLS.
    pub fn tls(mut self, tls: &TlsConnector) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    /// Calls another server.
    pub fn to(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Adds a value to the metadata.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a name from the metadata.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Calls another path.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Sends other bytes, with their frame.
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub async fn send(self) -> Reply {
        let reply = timeout(HANG_GUARD, self.try_send()).await;
        reply.expect("the RPC never ends").unwrap()
    }

    /// Sends a request on a new connection, to a server that may go away.
    pub async fn try_send(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        let (connection, driver) = match &self.tls {
            Some(tls) => Connection::open_tls(self.address, tls).await?,
            None => Connection::open(self.address).await?,
        };
        let _close = CloseOnDrop(driver);
        let metadata = self.headers.iter().map(|(name, value)| (&**name, &**value));
        Ok(connection.call(&self.path, metadata, self.body).await?)
    }
}

/// Closes a connection when its RPC is dropped, as a process that ends does.
struct CloseOnDrop(Driver);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reply {
    /// Returns the gRPC status, with its details.
    pub fn grpc(&self) -> tonic::Status {
        tonic::Status::from_header_map(&self.trailers)
            .unwrap_or_else(|| panic!("no grpc-status: {self:?}"))
    }

    pub fn code(&self) -> Code {
        self.grpc().code()
    }

    pub fn message(&self) -> String {
        self.grpc().message().to_owned()
    }

    pub fn details(&self) -> ErrorDetails {
        self.grpc().get_error_details()
    }

    /// Returns the reason of the error.
    pub fn reason(&self) -> String {
        self.details().error_info().unwrap().reason.clone()
    }

    /// Returns a value of the error's metadata.
    pub fn error_metadata(&self, key: &str) -> Option<String> {
        self.details().error_info().unwrap().metadata.get(key).cloned()
    }

    /// Returns the fields with a violation.
    pub fn violations(&self) -> Vec<String> {
        let details = self.details();
        let request = details.bad_request().unwrap();
        request.field_violations.iter().map(|violation| violation.field.clone()).collect()
    }

    /// Returns how many bytes the trailers have, as HTTP/2 counts them.
    pub fn trailer_size(&self) -> usize {
        self.trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum()
    }

    /// Returns the bytes of each message of a stream.
    pub fn messages(&self) -> Vec<Bytes> {
        let (mut rest, mut messages) = (self.body.clone(), Vec::new());
        while !rest.is_empty() {
            assert_eq!(rest[0], 0, "the message is compressed");
            let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            let mut message = rest.split_to(5 + length);
            messages.push(message.split_off(5));
        }
        messages
    }

    /// Returns the message of a response that is OK.
    pub fn decode<T: Message + Default>(&self) -> T {
        assert_eq!(self.code(), Code::Ok, "{}", self.message());
        assert_eq!(self.body[0], 0, "the message is compressed");
        let length = u32::from_be_bytes(self.body[1..5].try_into().unwrap()) as usize;
        assert_eq!(self.body.len(), 5 + length);
        T::decode(&self.body[5..]).unwrap()
    }
}

/// Returns the request for a list of the documented connection's shared copies.
pub fn list_request() -> ListPartnerSharedConnectionsRequest {
    ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    }
}

/// Returns the request for a stream of the same list.
pub fn stream_request() -> StreamPartnerSharedConnectionsRequest {
    StreamPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: ID.to_owned(),
    }
}

/// Puts a message into gRPC's frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.extend_from_slice(message);
    framed
}
