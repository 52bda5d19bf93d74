//! The messages of a response that is right, by a reader that no target uses.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use polytomic_gateway::contract::DESCRIPTOR_SET;
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, skip_field},
};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, ReflectMessage as _,
};

use crate::{Error, Work};

/// The bytes of the flag and the length in front of a message.
pub const FRAME: usize = 5;

/// Elements that are compared field by field; the others are counted. All of a long
/// list would take longer than the measurement.
const COMPARED: usize = 5_000;

/// The messages that a target must make of the JSON of a work.
#[derive(Debug)]
pub struct Messages {
    count: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The JSON itself.
    Json(String),
    /// Elements of field 1, in one message or in one each.
    Elements { count: usize, first: DynamicMessage },
}

impl Messages {
    /// Returns the messages of a work.
    ///
    /// # Errors
    ///
    /// If the JSON is not that of the message.
    pub(crate) fn new(work: Work) -> Result<Self, Error> {
        let (elements, compared) = match work {
            Work::Relay(_) => {
                return Ok(Self { count: 1, content: Content::Json(work.json()) });
            }
            Work::Create => (1, work),
            Work::List(length) | Work::Stream(length) => {
                (length, Work::List(length.min(COMPARED)))
            }
        };
        let name = match compared {
            Work::Create => "CreatePartnerSharedConnectionResponse",
            _ => "ListPartnerSharedConnectionsResponse",
        };
        let message = DescriptorPool::decode(DESCRIPTOR_SET)?
            .get_message_by_name(&format!("polytomic.connections.v1.{name}"))
            .ok_or("the contract lacks the message")?;
        // A list begins with the elements of a shorter one.
        let json = compared.json();
        let mut json = serde_json::Deserializer::from_str(&json);
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let first =
            DynamicMessage::deserialize_with_options(message, &mut json, &options)?;
        let first = normalised(&first)?;
        let count = if matches!(work, Work::Stream(_)) { elements } else { 1 };
        Ok(Self { count, content: Content::Elements { count: elements, first } })
    }

    /// Returns the number of messages.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Compares the messages of a response.
    ///
    /// # Errors
    ///
    /// If they are others.
    pub fn compare(&self, messages: &[Bytes]) -> Result<(), Error> {
        if messages.len() != self.count {
            return Err(format!("{} messages, not {}", messages.len(), self.count).into());
        }
        // A repeated field is the same in one message as in several, joined.
        let joined = messages.concat();
        match &self.content {
            Content::Json(json) if joined == json.as_bytes() => Ok(()),
            Content::Json(_) => Err("the relayed bytes are not those of the JSON".into()),
            Content::Elements { count, first } => compare(&joined, *count, first),
        }
    }
}

fn compare(joined: &[u8], count: usize, first: &DynamicMessage) -> Result<(), Error> {
    let (mut rest, mut elements, mut compared) = (joined, 0, 0);
    while rest.has_remaining() {
        let (tag, kind) = decode_key(&mut rest)?;
        if (tag, kind) != (1, WireType::LengthDelimited) {
            return Err(format!("field {tag} of the response is not expected").into());
        }
        skip_field(kind, tag, &mut rest, DecodeContext::default())?;
        elements += 1;
        if elements <= COMPARED {
            compared = joined.len() - rest.len();
        }
    }
    if elements != count {
        return Err(format!("{elements} elements, not {count}").into());
    }
    let response = DynamicMessage::decode(first.descriptor(), &joined[..compared])?;
    let response = normalised(&response)?;
    if response != *first {
        return Err(format!("the response is\n{response}\nnot\n{first}").into());
    }
    Ok(())
}

/// Returns an equal message whose fields are set only if they have to be: an empty list
/// in JSON and a zero on the wire also set a field, and make two messages differ.
fn normalised(message: &DynamicMessage) -> Result<DynamicMessage, Error> {
    Ok(DynamicMessage::decode(message.descriptor(), &*message.encode_to_vec())?)
}

/// Returns a message in its frame.
///
/// # Errors
///
/// If its length is 4 GiB or more.
pub fn frame(message: impl Buf) -> Result<Bytes, Error> {
    let mut frame = BytesMut::with_capacity(FRAME + message.remaining());
    frame.put(frame_header(message.remaining())?);
    frame.put(message);
    Ok(frame.freeze())
}

/// Returns the bytes in front of a message of this length.
///
/// # Errors
///
/// If the length is 4 GiB or more.
pub fn frame_header(length: usize) -> Result<Bytes, Error> {
    let mut header = BytesMut::with_capacity(FRAME);
    header.put_u8(0);
    header.put_u32(u32::try_from(length)?);
    Ok(header.freeze())
}
