//! The RPCs that are measured.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use prost::Message;

use crate::{
    Error, Messages,
    proto::{CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest},
    responses,
};

const SERVICE: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService";
const ORGANIZATION: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";
/// The id of a connection, but for its last 12 digits: those are the length of the
/// list that the stub returns.
const CONNECTION: &str = "1d6f0b7a-52c8-4f93-9e0b-";

/// An RPC and what the stub returns for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A list of this many connections.
    List(usize),
    /// The same, as a stream of messages with one connection each.
    Stream(usize),
    /// The same, with the JSON itself as the message.
    Relay(usize),
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
    pub fn path(self) -> String {
        let rpc = match self {
            Self::List(_) | Self::Relay(_) => "ListPartnerSharedConnections",
            Self::Stream(_) => "StreamPartnerSharedConnections",
            Self::Create => "CreatePartnerSharedConnection",
        };
        format!("{SERVICE}/{rpc}")
    }

    /// Returns the wire bytes of the request message; a stream's are those of a list.
    #[must_use]
    pub fn request(self) -> Bytes {
        let org_id = ORGANIZATION.to_owned();
        let message = match self {
            Self::List(length) | Self::Stream(length) | Self::Relay(length) => {
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
        };
        message.into()
    }

    /// Returns the JSON of the stub's response.
    #[must_use]
    pub fn json(self) -> String {
        match self {
            Self::List(length) | Self::Stream(length) | Self::Relay(length) => {
                responses::list(length)
            }
            Self::Create => {
                let list = responses::list(1);
                let one = list.trim_start_matches(r#"{"data":["#).trim_end_matches("]}");
                format!(r#"{{"data":{one}}}"#)
            }
        }
    }

    /// Returns the messages that a target must make of the JSON.
    ///
    /// # Errors
    ///
    /// If the JSON is not that of the message.
    pub fn messages(self) -> Result<Messages, Error> {
        Messages::new(self)
    }
}

impl FromStr for Work {
    type Err = ParseWorkError;

    /// Reads `create`, or a list as `list-100`, `stream-100` or `relay-100`.
    fn from_str(text: &str) -> Result<Self, ParseWorkError> {
        if text == "create" {
            return Ok(Self::Create);
        }
        let (name, length) = text.split_once('-').ok_or(ParseWorkError)?;
        let length = length.parse().map_err(|_| ParseWorkError)?;
        match name {
            "list" => Ok(Self::List(length)),
            "stream" => Ok(Self::Stream(length)),
            "relay" => Ok(Self::Relay(length)),
            _ => Err(ParseWorkError),
        }
    }
}

impl fmt::Display for ParseWorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a work: give `create`, or `list`, `stream` or `relay` with a length, as `list-100`")
    }
}

impl std::error::Error for ParseWorkError {}
