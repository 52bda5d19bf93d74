//! A peer that writes HTTP/2 frames itself, since a library would send no wrong ones.
//! The numbers are those of RFC 9113.

use std::{io, net::SocketAddr};

use loona_hpack::encoder::encode_integer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::caller;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the last stream, the error code and the debug data of a GOAWAY.
    pub fn goaway(&self) -> Option<(u32, u32, String)> {
        if self.kind != GOAWAY {
            return None;
        }
        let number = |at: usize| {
            u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
        };
        let debug = String::from_utf8_lossy(&self.payload[8..]).into_owned();
        Some((number(0), number(4), debug))
    }
}

/// Writes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload of a test is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Takes the first frame from a buffer, once it is whole.
pub fn parse(buffer: &mut Vec<u8>) -> Option<Frame> {
    let [a, b, c, kind, flags, stream @ ..] = *buffer.first_chunk::<9>()?;
    let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
    let payload = buffer.get(9..end)?.to_vec();
    buffer.drain(..end);
    let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
    Some(Frame { kind, flags, stream, payload })
}

/// Writes header fields as literals that are not indexed (RFC 7541, section
/// 6.2.2), so that each block stands for itself.
pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.extend(encode_integer(text.len(), 7));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Writes the headers of an RPC.
pub fn rpc<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields(usual.into_iter().chain(more.iter().copied()))
}

/// Writes a field that joins the table of the connection, as its newest (RFC 7541,
/// section 6.2.1).
pub fn indexed_field(name: &str, value: &str) -> Vec<u8> {
    let mut block = fields([(name, value)]);
    block[0] = 0x40;
    block
}

/// Refers to the newest field of the table, in one byte each time (RFC 7541, section
/// 6.1). Before it, the table has 61 usual fields.
pub fn repeated_field(times: usize) -> Vec<u8> {
    vec![0x80 + 62; times]
}

/// Writes a whole RPC with a `key`: the headers, and the message in its frame.
pub fn request(stream: u32, path: &str, key: &str, message: &[u8]) -> Vec<u8> {
    let authorization = format!("Bearer {key}");
    let headers = rpc(path, &[("authorization", &authorization)]);
    let body = caller::frame(message);
    [
        frame(HEADERS, END_HEADERS, stream, &headers),
        frame(DATA, END_STREAM, stream, &body),
    ]
    .concat()
}

/// Bytes that a peer sends repeatedly.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    pub name: &'static str,
    /// The bytes before the first round.
    pub start: fn() -> Vec<u8>,
    /// One round, by its number.
    pub round: fn(u32) -> Vec<u8>,
    /// The debug data of the GOAWAY that ends the connection. None if the gateway
    /// does not end it.
    pub ends: Option<&'static str>,
}

/// An RPC that stays in flight until its body ends.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// Streams that are opened and reset immediately (CVE-2023-44487).
pub const RAPID_RESET: Flood = Flood {
    name: "rapid reset",
    start: Vec::new,
    round: |round| {
        let stream = 2 * round + 1;
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &rpc(PATH, &[]));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        bytes
    },
    ends: Some("too_many_resets"),
};

/// Streams that the server must reset (RUSTSEC-2024-0003).
pub const MALFORMED_HEADERS: Flood = Flood {
    name: "malformed HEADERS",
    start: Vec::new,
    round: |round| {
        let block = rpc(PATH, &[("connection", "close")]);
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, &block)
    },
    ends: Some("too_many_internal_resets"),
};

/// A header block without an end (RUSTSEC-2024-0332).
pub const CONTINUATIONS: Flood = Flood {
    name: "CONTINUATION",
    start: || frame(HEADERS, 0, 1, &rpc(PATH, &[])),
    round: |_| frame(CONTINUATION, 0, 1, &fields([("x", "y")])),
    ends: Some("too_many_continuations"),
};

/// A body of nothing, without an end (RUSTSEC-2026-0258).
pub const EMPTY_DATA: Flood = Flood {
    name: "empty DATA",
    start: || frame(HEADERS, END_HEADERS, 1, &rpc(PATH, &[])),
    round: |_| frame(DATA, 0, 1, &[]),
    ends: Some("too_many_data_frames"),
};

/// SETTINGS that the gateway has to acknowledge.
pub const SETTINGS_FLOOD: Flood = Flood {
    name: "SETTINGS",
    start: Vec::new,
    round: |_| frame(SETTINGS, 0, 0, &[]),
    ends: None,
};

/// PINGs that the gateway has to acknowledge.
pub const PINGS: Flood = Flood {
    name: "PING",
    start: Vec::new,
    round: |_| frame(PING, 0, 0, &[0; 8]),
    ends: None,
};

/// A connection on which anything can be sent.
#[derive(Debug)]
pub struct Peer {
    pub reader: Reader,
    pub writer: OwnedWriteHalf,
}

impl Peer {
    /// Connects, and sends nothing.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: Reader { stream: reader, buffer: Vec::new() }, writer })
    }

    /// Connects, and sends the preface and SETTINGS.
    pub async fn greet(address: SocketAddr) -> io::Result<Self> {
        let mut peer = Self::connect(address).await?;
        peer.send(PREFACE).await?;
        peer.send(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(peer)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }
}

/// The half of a connection that is read.
#[derive(Debug)]
pub struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads the next frame, or nothing if the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = parse(&mut self.buffer) {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads the next frame that `wanted` holds for.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads until the connection has ended.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}
