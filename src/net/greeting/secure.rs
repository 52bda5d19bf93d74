//! TLS of a new connection.

use std::{io, net::SocketAddr};

use rustls::{
    ServerConnection,
    server::{Acceptor, ClientHello},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::{
    super::{protocol::Protocol, rejected::Reason},
    Greeting, TurnedAway, read_protocol,
};
use crate::{
    peer::Peer,
    tls::{H2, Security, ServerTls},
};

/// A connection within TLS.
pub(super) type SecureStream = Box<TlsStream<TcpStream>>;

/// The type of the first record of TLS (RFC 8446, section 5.1). No other protocol that
/// peers speak begins so.
const HANDSHAKE: u8 = 22;

/// The alert `no_application_protocol` (RFC 7301, section 3.2), in a record of its own.
const NO_APPLICATION_PROTOCOL: &[u8] = &[21, 3, 3, 0, 2, 2, 120];

/// Maximum bytes that are encrypted before the socket takes them: a batch of writes.
const BUFFER: usize = 32 * 1024;

/// Maximum bytes of the names that a peer has offered, in the log.
const MOST_SHOWN: usize = 64;

/// Reports whether the peer begins with TLS. Waits for its first byte.
pub(super) async fn begins_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first == [HANDSHAKE]),
    }
}

/// Does the handshake of TLS, with the certificate that the files have now, and reads the
/// preface of HTTP/2.
pub(super) async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
) -> io::Result<Greeting> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let hello = match (&mut acceptor).await {
        Ok(hello) => hello,
        Err(error) => return failed(acceptor.take_io(), error),
    };
    // Before the handshake, which costs a thousand times as much.
    if let Some(offered) = without_http2(&hello.client_hello()) {
        return Ok(Greeting::TurnedAway(TurnedAway {
            stream: hello.io,
            reason: Reason::Alpn,
            detail: offered,
            answer: NO_APPLICATION_PROTOCOL,
        }));
    }
    let limit = |connection: &mut ServerConnection| {
        connection.set_buffer_limit(Some(BUFFER));
    };
    let handshake = hello.into_stream_with(tls.config(), limit).into_fallible();
    let mut stream = match handshake.await {
        Ok(stream) => Box::new(stream),
        Err((error, stream)) => return failed(Some(stream), error),
    };
    let Security { version, identity } = match Security::of(stream.get_ref().1) {
        Ok(security) => security,
        Err(nameless) => {
            return ended(stream, Reason::Nameless, nameless.to_string()).await;
        }
    };
    match read_protocol(&mut stream).await? {
        Protocol::Http2 => {
            let peer = Peer::new(address, Some(version), identity);
            Ok(Greeting::Http2(Either::Right(stream), peer))
        }
        other => {
            let detail = format!("{other} within TLS");
            ended(stream, Reason::WrongProtocol(other), detail).await
        }
    }
}

/// Turns away a peer after its handshake, with the alert that ends TLS: without that, the
/// peer could not tell this from a lost connection.
async fn ended(
    mut stream: SecureStream,
    reason: Reason,
    detail: String,
) -> io::Result<Greeting> {
    stream.shutdown().await?;
    Ok(turned_away(stream.into_inner().0, reason, detail))
}

/// Turns away a peer whose handshake failed: the alert that says why has been sent. A peer
/// that has only gone away is an error.
fn failed(stream: Option<TcpStream>, error: io::Error) -> io::Result<Greeting> {
    let is_of_tls = matches!(error.get_ref(), Some(cause) if cause.is::<rustls::Error>());
    match stream.filter(|_| is_of_tls) {
        Some(stream) => Ok(turned_away(stream, Reason::Tls, error.to_string())),
        None => Err(error),
    }
}

fn turned_away(stream: TcpStream, reason: Reason, detail: String) -> Greeting {
    Greeting::TurnedAway(TurnedAway { stream, reason, detail, answer: &[] })
}

/// Returns what a peer offers instead of HTTP/2, for the log.
fn without_http2(hello: &ClientHello<'_>) -> Option<String> {
    let Some(mut offered) = hello.alpn() else {
        return Some("no ALPN".to_owned());
    };
    if offered.any(|name| name == H2) {
        return None;
    }
    let names = hello.alpn().into_iter().flatten().map(|name| name.escape_ascii());
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    let mut names = names.join(", ");
    names.truncate(MOST_SHOWN);
    Some(format!("ALPN {names}"))
}
