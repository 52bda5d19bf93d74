//! Checks responses: the first of each connection field by field, all others by their
//! length, their number of messages and their first bytes.

use bytes::{Buf, Bytes};
use gateway_bench::{Error, FRAME, Messages, Work};

use crate::client::Client;

/// Number of the first RPC of a connection, which no worker has.
const FIRST: u64 = u64::MAX;

/// What each response must be.
pub(crate) struct Expected {
    work: Work,
    messages: Messages,
    /// The length of each response with its frames.
    length: usize,
    /// The frame of the first message, and the tag and the length of its first field.
    first: Bytes,
}

/// What has been read of a response.
pub(crate) struct Response<'a> {
    expected: &'a Expected,
    length: usize,
    starts_right: bool,
    messages: usize,
    /// Bytes left of the message that is being read.
    rest: usize,
    header: Vec<u8>,
}

impl Expected {
    pub(crate) fn new(work: Work) -> Result<Self, Error> {
        Ok(Self { work, messages: work.messages()?, length: 0, first: Bytes::new() })
    }

    /// Calls once, and compares the response with the one that must come.
    pub(crate) async fn learn(&mut self, client: &mut Client) -> Result<(), Error> {
        let mut body = Vec::new();
        client.call(self.work, FIRST, |chunk| body.extend_from_slice(chunk)).await?;
        self.length = body.len();
        let mut frames = Bytes::from(body);
        self.first = frames.slice(..frames.len().min(FRAME));
        if let Some(message) = frames.get(FRAME..).filter(|message| !message.is_empty()) {
            // The tag of the only field, and its length or that of its first element.
            let varint = message[1..].iter().take_while(|byte| **byte >= 0x80).count();
            self.first = frames.slice(..message.len().min(varint + 2) + FRAME);
        }
        let mut messages = Vec::new();
        while frames.has_remaining() {
            if frames.len() < FRAME {
                return Err("the response is cut short".into());
            }
            let uncompressed = frames.get_u8() == 0;
            let length = frames.get_u32() as usize;
            if !uncompressed || frames.len() < length {
                return Err("a message is compressed or cut short".into());
            }
            messages.push(frames.split_to(length));
        }
        self.messages.compare(&messages)
    }

    pub(crate) fn start(&self) -> Response<'_> {
        Response {
            expected: self,
            length: 0,
            starts_right: true,
            messages: 0,
            rest: 0,
            header: Vec::with_capacity(FRAME),
        }
    }
}

impl Response<'_> {
    pub(crate) fn read(&mut self, mut chunk: &[u8]) {
        let first = &self.expected.first;
        let first = &first[self.length.min(first.len())..];
        let compared = first.len().min(chunk.len());
        self.starts_right &= first[..compared] == chunk[..compared];
        self.length += chunk.len();
        while !chunk.is_empty() {
            if self.rest == 0 {
                let taken = chunk.len().min(FRAME - self.header.len());
                self.header.extend_from_slice(&chunk[..taken]);
                chunk.advance(taken);
                if self.header.len() == FRAME {
                    self.rest = (&self.header[1..]).get_u32() as usize;
                    self.header.clear();
                    self.messages += 1;
                }
            } else {
                let taken = chunk.len().min(self.rest);
                chunk.advance(taken);
                self.rest -= taken;
            }
        }
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        let (length, messages) = (self.expected.length, self.expected.messages.count());
        let whole = self.rest == 0 && self.header.is_empty();
        if !whole
            || !self.starts_right
            || (self.length, self.messages) != (length, messages)
        {
            return Err(format!(
                "a response of {} bytes in {} messages, not {length} in {messages}",
                self.length, self.messages
            )
            .into());
        }
        Ok(())
    }
}
