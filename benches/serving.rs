//! The RPCs that are measured, each the same in every run.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use polytomic_gateway::proto::{
    CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest,
};
use prost::Message;
use tokio::runtime::Runtime;

use crate::responses;

const SERVICE: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/";
const ID: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";

/// An RPC and what Polytomic responds with.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A list of this many connections.
    List(usize),
    Create,
}

impl Work {
    /// Returns the path of the RPC.
    pub(crate) fn path(self) -> String {
        match self {
            Self::List(_) => format!("{SERVICE}ListPartnerSharedConnections"),
            Self::Create => format!("{SERVICE}CreatePartnerSharedConnection"),
        }
    }

    /// Returns the wire bytes of the request message.
    pub(crate) fn message(self) -> Bytes {
        let (org_id, connection_id) = (ID.to_owned(), ID.to_owned());
        let message = match self {
            Self::List(_) => {
                ListPartnerSharedConnectionsRequest { org_id, connection_id }
                    .encode_to_vec()
            }
            Self::Create => CreatePartnerSharedConnectionRequest {
                org_id,
                connection_id,
                child_organization_id: ID.to_owned(),
                name: Some("Production warehouse".to_owned()),
            }
            .encode_to_vec(),
        };
        message.into()
    }

    /// Returns the metadata that a client sends.
    pub(crate) fn metadata(self) -> HeaderMap {
        let mut metadata = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer 8e5dcfdd-d23d-4e6f-a136-119e1254847b"),
            ("x-request-id", "2d931510-d99f-494a-8c67-87feb05e1594"),
            ("grpc-timeout", "20S"),
        ] {
            metadata.insert(name, HeaderValue::from_static(value));
        }
        if matches!(self, Self::Create) {
            metadata.insert(
                "idempotency-key",
                HeaderValue::from_static("order-4711-share-1"),
            );
        }
        metadata
    }

    /// Returns the JSON of Polytomic's response.
    pub(crate) fn response(self) -> Bytes {
        let json = match self {
            Self::List(length) => responses::list(length),
            Self::Create => {
                let list = responses::list(1);
                let one = list.trim_start_matches(r#"{"data":["#).trim_end_matches("]}");
                format!(r#"{{"data":{one}}}"#)
            }
        };
        json.into()
    }
}

/// Makes a runtime of this thread alone.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
