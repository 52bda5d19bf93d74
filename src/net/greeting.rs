//! How a connection begins: TLS, if the listener has it, and the preface of HTTP/2. A peer
//! that does it wrongly gets an answer that it understands.

mod secure;

use std::{fmt, io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::either::Either;

use self::secure::SecureStream;
use super::{
    protocol::{HTTP1_RESPONSE, HTTP1_RESPONSE_OF_TLS, PREFACE, Protocol},
    rejected::Reason,
};
use crate::{peer::Peer, tls::ServerTls};

/// Maximum bytes to read from a peer that is turned away.
const LINGER_BYTES: u64 = 64 * 1024;

/// A connection of a client.
pub(super) type Stream = Either<TcpStream, SecureStream>;

/// How a connection has begun.
pub(super) enum Greeting {
    /// With the preface, which has been read.
    Http2(Stream, Peer),
    TurnedAway(TurnedAway),
}

/// A connection that gets no service.
pub(super) struct TurnedAway {
    pub(super) stream: TcpStream,
    pub(super) reason: Reason,
    /// What the peer did, for the log.
    pub(super) detail: String,
    /// The last words to it.
    pub(super) answer: &'static [u8],
}

/// What a peer begins with.
#[derive(Debug)]
pub(super) enum First {
    /// The first record of TLS, which has not been read.
    Tls,
    /// A protocol without TLS. Of HTTP/2 the preface has been read.
    Protocol(Protocol),
}

/// Reads until it is known how the peer begins. hyper reads HTTP/2's preface too, but
/// without a timeout.
pub(super) async fn first(stream: &mut TcpStream, has_tls: bool) -> io::Result<First> {
    // Responses are small, and Nagle's algorithm would delay them.
    stream.set_nodelay(true)?;
    if has_tls && secure::begins_tls(stream).await? {
        return Ok(First::Tls);
    }
    read_protocol(stream).await.map(First::Protocol)
}

/// Does the handshake of TLS, if the peer begins with it.
pub(super) async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    first: First,
    tls: Option<&ServerTls>,
) -> io::Result<Greeting> {
    Ok(match (first, tls) {
        (First::Tls, Some(tls)) => secure::greet(stream, address, tls).await?,
        (First::Protocol(Protocol::Http2), None) => {
            Greeting::Http2(Either::Left(stream), Peer::plaintext(address))
        }
        (first, None) => {
            let protocol = first.protocol();
            let answer = http1_only(protocol, HTTP1_RESPONSE);
            TurnedAway::wrong_protocol(stream, protocol, protocol, answer)
        }
        (First::Protocol(protocol), Some(_)) => {
            let detail = format_args!("{protocol} without TLS");
            let answer = http1_only(protocol, HTTP1_RESPONSE_OF_TLS);
            TurnedAway::wrong_protocol(stream, protocol, detail, answer)
        }
    })
}

impl First {
    fn protocol(self) -> Protocol {
        match self {
            Self::Tls => Protocol::Tls,
            Self::Protocol(protocol) => protocol,
        }
    }
}

fn http1_only(protocol: Protocol, answer: &'static [u8]) -> &'static [u8] {
    if protocol == Protocol::Http1 { answer } else { &[] }
}

/// Reads until the protocol of the peer is known.
async fn read_protocol(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Protocol> {
    let mut bytes = [0; PREFACE.len()];
    let mut filled = 0;
    loop {
        let read = reader.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if let Some(protocol) = Protocol::of(&bytes[..filled]) {
            return Ok(protocol);
        }
    }
}

impl TurnedAway {
    fn wrong_protocol(
        stream: TcpStream,
        protocol: Protocol,
        detail: impl fmt::Display,
        answer: &'static [u8],
    ) -> Greeting {
        let (reason, detail) = (Reason::WrongProtocol(protocol), detail.to_string());
        Greeting::TurnedAway(Self { stream, reason, detail, answer })
    }

    /// Closes the connection after the answer. Reads on for as long as the peer sends.
    pub(super) async fn close(self) {
        let Self { mut stream, answer, .. } = self;
        let closing = async {
            stream.write_all(answer).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // The peer may go away first, which ends the connection as well.
        let _: io::Result<u64> = closing.await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn preface_may_arrive_in_pieces() {
        let (mut peer, mut stream) = duplex(1);
        let reading = tokio::spawn(async move { read_protocol(&mut stream).await });
        peer.write_all(PREFACE).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), Protocol::Http2);
    }

    #[tokio::test]
    async fn bytes_after_the_preface_are_left() {
        let (mut peer, mut stream) = duplex(64);
        peer.write_all(PREFACE).await.unwrap();
        peer.write_all(b"rest").await.unwrap();
        drop(peer);
        assert_eq!(read_protocol(&mut stream).await.unwrap(), Protocol::Http2);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn closed_connection_is_an_error() {
        let (mut peer, mut stream) = duplex(64);
        peer.write_all(&PREFACE[..10]).await.unwrap();
        drop(peer);
        let error = read_protocol(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
