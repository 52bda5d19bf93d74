//! An upstream's side of HTTP/2, as much of it as one needs to misbehave.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frames::{HEADERS, SETTINGS, frame};

/// `:status: 200`, as HPACK's static table has it.
pub(crate) const STATUS_200: u8 = 0x88;

/// Reads the client's preface and sends the settings, all of them defaults.
pub(crate) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
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
        if kind == HEADERS {
            return Ok(u32::from_be_bytes(head[5..].try_into().unwrap()));
        }
        if kind == SETTINGS && flags == 0 {
            stream.write_all(&frame(SETTINGS, 1, 0, b"")).await?;
            stream.flush().await?;
        }
    }
}
