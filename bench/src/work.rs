//! The RPCs that are measured.

use std::{fmt, str::FromStr};

use polytomic_gateway::contract::DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, ReflectMessage as _,
};

use crate::{
    Error,
    proto::{CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest},
    responses,
};

/// The path of the RPC that lists.
const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections";
const CREATE: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/CreatePartnerSharedConnection";
const PACKAGE: &str = "polytomic.connections.v1";
const ORGANIZATION: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";
/// The id of a connection, but for its last 12 digits: those are the length of the
/// list that the stub returns.
const CONNECTION: &str = "1d6f0b7a-52c8-4f93-9e0b-";

/// An RPC and what the stub returns for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A list of this many connections.
    List(usize),
    /// A create.
    Create,
}

/// The error of a text that names no work.
#[derive(Debug)]
pub struct ParseWorkError;

impl Work {
    /// Returns the work that a REST request stands for, by its method and its path.
    #[must_use]
    pub fn of_request(method: &http::Method, path: &str) -> Option<Self> {
        if method == http::Method::POST {
            return Some(Self::Create);
        }
        let (_, id) = path.strip_suffix("/shared")?.rsplit_once('/')?;
        id.strip_prefix(CONNECTION)?.parse().ok().map(Self::List)
    }

    /// Returns the path of the gRPC request.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::List(_) => LIST,
            Self::Create => CREATE,
        }
    }

    /// Returns the wire bytes of the request message.
    #[must_use]
    pub fn request(self) -> Vec<u8> {
        let org_id = ORGANIZATION.to_owned();
        match self {
            Self::List(length) => {
                let connection_id = format!("{CONNECTION}{length:012}");
                ListPartnerSharedConnectionsRequest { org_id, connection_id }
                    .encode_to_vec()
            }
            Self::Create => CreatePartnerSharedConnectionRequest {
                connection_id: format!("{CONNECTION}{:012}", 0),
                child_organization_id: org_id.clone(),
                org_id,
                name: Some("Production warehouse".to_owned()),
            }
            .encode_to_vec(),
        }
    }

    /// Returns the JSON of the stub's response.
    #[must_use]
    pub fn json(self) -> String {
        match self {
            Self::List(length) => responses::list(length),
            Self::Create => {
                let list = responses::list(1);
                let one = list.trim_start_matches(r#"{"data":["#).trim_end_matches("]}");
                format!(r#"{{"data":{one}}}"#)
            }
        }
    }

    /// Returns the response message that a target must make of the JSON, by a reader
    /// that no target uses.
    ///
    /// # Errors
    ///
    /// If the JSON is not that of the message.
    pub fn response(self) -> Result<DynamicMessage, Error> {
        let name = match self {
            Self::List(_) => "ListPartnerSharedConnectionsResponse",
            Self::Create => "CreatePartnerSharedConnectionResponse",
        };
        let message = DescriptorPool::decode(DESCRIPTOR_SET)?
            .get_message_by_name(&format!("{PACKAGE}.{name}"))
            .ok_or("the contract lacks the message")?;
        let json = self.json();
        let mut json = serde_json::Deserializer::from_str(&json);
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        normalised(&DynamicMessage::deserialize_with_options(
            message, &mut json, &options,
        )?)
    }
}

/// Returns an equal message whose fields are set only if they have to be: an empty list
/// in JSON and a zero on the wire also set a field, and make two messages differ.
///
/// # Errors
///
/// None for a whole message.
pub fn normalised(message: &DynamicMessage) -> Result<DynamicMessage, Error> {
    Ok(DynamicMessage::decode(message.descriptor(), &*message.encode_to_vec())?)
}

impl FromStr for Work {
    type Err = ParseWorkError;

    /// Reads `create`, or a list as `list-100`.
    fn from_str(text: &str) -> Result<Self, ParseWorkError> {
        if text == "create" {
            return Ok(Self::Create);
        }
        let length = text.strip_prefix("list-").and_then(|length| length.parse().ok());
        length.map(Self::List).ok_or(ParseWorkError)
    }
}

impl fmt::Display for ParseWorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a work: give `create`, or a list as `list-100`")
    }
}

impl std::error::Error for ParseWorkError {}
