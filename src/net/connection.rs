//! The life of one connection, from its first byte to its last RPC.

use std::{
    convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    limits::{self, Settings},
    streams::Streams,
    yielding::YieldingReader,
};
use crate::{budget::Capacities, grpc::Routes};

/// What a peer that speaks HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until its peer or one of the limits ends it. Once the
/// server drains it takes no new RPCs; the server ends those that take too long.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    routes: Arc<Routes>,
    capacities: Arc<Capacities>,
    settings: Arc<Settings>,
    draining: CancellationToken,
) {
    let greeted = tokio::select! {
        // A preface that is here already is served, drain or not.
        biased;
        greeted = timeout(settings.handshake_timeout, await_preface(&mut stream)) => greeted,
        // hyper would wait for it, and the drain for hyper (hyperium/hyper#4170).
        () = draining.cancelled() => return,
    };
    let ended = match greeted {
        Ok(Ok(())) => {
            Box::pin(serve_http2(stream, peer, routes, capacities, settings, draining))
                .await
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err("the peer did not say in time that it speaks HTTP/2".into()),
    };
    if let Err(error) = ended {
        debug!(%peer, error, "a connection ended early");
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads the preface. hyper reads it too, but may wait for it without end.
async fn await_preface(stream: &mut TcpStream) -> io::Result<()> {
    // An answer is small, and somebody waits for it.
    stream.set_nodelay(true)?;
    let read = read_preface(stream).await;
    if read.is_err() {
        // With bytes left to read, the close would be a reset.
        let _ = stream.try_read(&mut [0; 1024]);
    }
    read
}

async fn read_preface(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < PREFACE.len() {
        let read = reader.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if bytes[..filled] != PREFACE[..filled] {
            let problem = "the peer does not speak HTTP/2";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
    }
    Ok(())
}

/// Serves the RPCs of a connection that speaks HTTP/2.
async fn serve_http2(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Arc<Routes>,
    capacities: Arc<Capacities>,
    settings: Arc<Settings>,
    draining: CancellationToken,
) -> Result<(), BoxError> {
    let (reader, writer) = stream.into_split();
    let stream = tokio::io::join(PREFACE.chain(YieldingReader::new(reader)), writer);
    let capacities = Arc::new(capacities.on_connection());
    let unread = capacities.unread.clone();
    let service = service_fn(move |request| {
        let (routes, capacities) = (Arc::clone(&routes), Arc::clone(&capacities));
        let answer =
            async move { Ok::<_, Infallible>(routes.serve(&capacities, request).await) };
        // What an RPC needs is not held for as long as its answer is.
        Box::pin(answer)
    });
    let streams = Streams::default();
    let http2 = limits::http2(streams.clone());
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));

    let age = limits::jittered(settings.max_connection_age, fastrand::f64());
    let grace = settings.max_connection_age_grace;
    let limit = settings.write_timeout;
    let (reason, grace) = tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = draining.cancelled() => ("the server drains", Duration::ZERO),
        () = after(age, sleep(age)) => ("it is too old", grace),
        () = after(settings.max_connection_idle, streams.idle(settings.max_connection_idle)) => {
            ("it has been idle", grace)
        }
        () = unread.overdue(limit) => ("its peer does not take its answers", grace.max(limit)),
    };
    debug!(%peer, reason, "ending a connection");
    // Two GOAWAYs, so that no RPC which is on its way is lost (RFC 9113,
    // section 6.8).
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => Ok(ended?),
        () = after(grace, sleep(grace)) => Err("the grace of RPCs in flight is over".into()),
        // Without a limit for RPCs there is still one for what nobody takes.
        () = unread.overdue(limit), if grace.is_zero() => {
            Err("its peer does not take its answers".into())
        }
    }
}

/// Waits, unless the limit is zero: that is none.
async fn after(limit: Duration, wait: impl Future<Output = ()>) {
    if limit.is_zero() {
        return std::future::pending().await;
    }
    wait.await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_preface_may_come_in_pieces() {
        let (mut peer, mut stream) = duplex(1);
        let greeting = tokio::spawn(async move { read_preface(&mut stream).await });
        peer.write_all(PREFACE).await.unwrap();
        greeting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_comes_after_the_preface_is_left() {
        let (mut peer, mut stream) = duplex(64);
        peer.write_all(PREFACE).await.unwrap();
        peer.write_all(b"rest").await.unwrap();
        drop(peer);
        read_preface(&mut stream).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn another_protocol_is_told_by_its_first_wrong_byte() {
        for start in ["G", "PRI * HTTP/1", "PRI * HTTP/2.0\r\n\r\nXX"] {
            let (mut peer, mut stream) = duplex(64);
            peer.write_all(start.as_bytes()).await.unwrap();
            let error = read_preface(&mut stream).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{start:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_that_leaves_is_noticed() {
        let (mut peer, mut stream) = duplex(64);
        peer.write_all(&PREFACE[..10]).await.unwrap();
        drop(peer);
        let error = read_preface(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
