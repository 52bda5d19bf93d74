//! As much of HTTP/2's framing (RFC 9113 §4) as an upstream needs to misbehave.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The kinds of frame that are written here, by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    RstStream = 3,
    Settings = 4,
    GoAway = 7,
}

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// `:status: 200`, as HPACK's static table has it.
pub(crate) const STATUS_200: u8 = 0x88;

/// Writes a frame on a stream.
pub(crate) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind as u8, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads the client's preface and sends the settings, all of them defaults.
pub(crate) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(Kind::Settings, 0, 0, b"")).await?;
    stream.flush().await
}

/// Reads up to the next request's headers, and returns their stream.
pub(crate) async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == Kind::Headers as u8 {
            return Ok(u32::from_be_bytes(head[5..].try_into().unwrap()));
        }
        if kind == Kind::Settings as u8 && flags == 0 {
            stream.write_all(&frame(Kind::Settings, 1, 0, b"")).await?;
            stream.flush().await?;
        }
    }
}
