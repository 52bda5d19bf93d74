//! One connection, from its first byte to its last RPC.

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

/// The first bytes of an HTTP/2 client (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until its peer or one of the limits ends it. During a drain it
/// accepts no new RPCs; the server closes it at the drain limit.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    routes: Arc<Routes>,
    capacities: Arc<Capacities>,
    settings: Arc<Settings>,
    draining: CancellationToken,
) {
    let preface = tokio::select! {
        // A connection whose preface has arrived is served, also during a drain.
        biased;
        preface = timeout(settings.handshake_timeout, await_preface(&mut stream)) => preface,
        // hyper would wait for the preface, and the drain for hyper (hyperium/hyper#4170).
        () = draining.cancelled() => return,
    };
    let ended = match preface {
        Ok(Ok(())) => {
            Box::pin(serve_http2(stream, peer, routes, capacities, settings, draining))
                .await
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err("no HTTP/2 preface within the handshake timeout".into()),
    };
    if let Err(error) = ended {
        debug!(%peer, error, "connection ended with an error");
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads the preface. hyper reads it too, but without a timeout.
async fn await_preface(stream: &mut TcpStream) -> io::Result<()> {
    // Responses are small, and Nagle's algorithm would delay them.
    stream.set_nodelay(true)?;
    let read = read_preface(stream).await;
    if read.is_err() {
        // If bytes are left to read, the system closes the connection with a reset.
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
        let response =
            async move { Ok::<_, Infallible>(routes.serve(&capacities, request).await) };
        // Boxed, so that its memory is free while the response is being written.
        Box::pin(response)
    });
    let streams = Streams::default();
    let http2 = limits::http2(streams.clone());
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));

    let age = limits::jittered(settings.max_connection_age, fastrand::f64());
    let grace = settings.max_connection_age_grace;
    let limit = settings.write_timeout;
    let (reason, grace) = tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = draining.cancelled() => ("drain", Duration::ZERO),
        () = after(age, sleep(age)) => ("age", grace),
        () = after(settings.max_connection_idle, streams.idle(settings.max_connection_idle)) => {
            ("idle", grace)
        }
        () = unread.overdue(limit) => ("unread responses", grace.max(limit)),
    };
    debug!(%peer, reason, "closing connection with GOAWAY");
    // Sends two GOAWAYs, so that no RPC sent in between is lost (RFC 9113, section 6.8).
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => Ok(ended?),
        () = after(grace, sleep(grace)) => Err("RPCs in flight exceeded the grace period".into()),
        // Without a grace period, unread responses still have their timeout.
        () = unread.overdue(limit), if grace.is_zero() => {
            Err("the peer left responses unread".into())
        }
    }
}

/// Completes with `wait`, or never if the limit is zero, which means no limit.
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
    async fn preface_may_arrive_in_pieces() {
        let (mut peer, mut stream) = duplex(1);
        let reading = tokio::spawn(async move { read_preface(&mut stream).await });
        peer.write_all(PREFACE).await.unwrap();
        reading.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn bytes_after_the_preface_are_left() {
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
    async fn other_protocol_is_rejected_at_its_first_wrong_byte() {
        for start in ["G", "PRI * HTTP/1", "PRI * HTTP/2.0\r\n\r\nXX"] {
            let (mut peer, mut stream) = duplex(64);
            peer.write_all(start.as_bytes()).await.unwrap();
            let error = read_preface(&mut stream).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{start:?}");
        }
    }

    #[tokio::test]
    async fn closed_connection_is_an_error() {
        let (mut peer, mut stream) = duplex(64);
        peer.write_all(&PREFACE[..10]).await.unwrap();
        drop(peer);
        let error = read_preface(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
