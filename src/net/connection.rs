//! One connection, from its first byte to its last RPC.

use std::{
    convert::Infallible, error::Error, future::pending, io, net::SocketAddr, pin::pin,
    sync::Arc, time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::BoxError;
use tracing::debug;

use super::{
    batch::batch,
    eviction::Evictable,
    goaway::{Ending, Goaway, GoawayWriter},
    limits::{self, FIRST_RPC_TIMEOUT, Settings},
    metrics::ConnectionMetrics,
    protocol::{HTTP1_RESPONSE, PREFACE, Protocol},
    rejected::{Reason, Rejected},
    resets::ResetLimiter,
    turns::Turns,
    yielding::{Turn, YieldingReader},
};
use crate::{budget::Capacities, grpc::Routes};

/// Maximum time to read from a peer that is turned away: enough for a request on its
/// way, since bytes left unread would reset the connection, and the reset can overtake
/// the response.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Maximum bytes to read from it.
const LINGER_BYTES: u64 = 64 * 1024;

/// What all connections share: copies would be most of the memory of a silent one.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) routes: Arc<Routes>,
    pub(super) capacities: Capacities,
    pub(super) settings: Settings,
    pub(super) draining: CancellationToken,
    pub(super) rejected: Rejected,
    pub(super) metrics: Arc<ConnectionMetrics>,
}

/// A connection that was accepted. A silent one is this and a timer: the rest is boxed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) evictable: Evictable,
}

impl Accepted {
    /// Waits until the protocol of the peer is known. Returns `None` if the connection has
    /// to end before.
    pub(super) async fn protocol(&mut self) -> Option<Protocol> {
        let Self { stream, peer, shared, evictable } = self;
        let handshake = shared.settings.handshake_timeout;
        let protocol = tokio::select! {
            // A connection whose preface has arrived is served, also during a drain.
            biased;
            read = await_protocol(stream) => read,
            _ = evictable.ends(handshake) => {
                Err(io::Error::other("no HTTP/2 preface, and others need the connection"))
            }
            // hyper would wait for the preface, and the drain for hyper (hyperium/hyper#4170).
            () = shared.draining.cancelled() => return None,
        };
        protocol.inspect_err(|error| ended_by(*peer, error)).ok()
    }

    /// Serves the connection until its peer or one of the limits ends it. During a drain
    /// it accepts no new RPCs; the server closes it at the drain limit.
    pub(super) async fn serve(self, protocol: Protocol) {
        let Self { stream, peer, shared, evictable } = self;
        if protocol != Protocol::Http2 {
            let reason = Reason::WrongProtocol(protocol);
            shared.rejected.record(reason, format_args!("{protocol} from {peer}"));
            tokio::select! {
                // The response goes out, also if others need the connection.
                biased;
                () = turn_away(stream, protocol) => {}
                _ = evictable.ends(LINGER_TIME) => {}
            }
            return;
        }
        let goaway = Goaway::default();
        let serving = serve_http2(stream, peer, &shared, evictable, goaway.clone());
        // Boxed, or a connection that is turned away would have memory for this.
        if let Err(error) = Box::pin(serving).await {
            let broken = match goaway.get() {
                Some(ending @ Ending::TooManyResets) => {
                    shared.metrics.goaway(ending.reason());
                    Some("too many streams were reset".to_owned())
                }
                _ => broken_by_peer(&*error),
            };
            if let Some(broken) = broken {
                let detail = format_args!("{broken} from {peer}");
                shared.rejected.record(Reason::Http2, detail);
            }
            ended_by(peer, &*error);
        }
    }
}

fn ended_by(peer: SocketAddr, error: &(dyn Error + 'static)) {
    debug!(%peer, error, "connection ended with an error");
}

/// Reads until the protocol of the peer is known. hyper reads HTTP/2's preface too,
/// but without a timeout.
async fn await_protocol(stream: &mut TcpStream) -> io::Result<Protocol> {
    // Responses are small, and Nagle's algorithm would delay them.
    stream.set_nodelay(true)?;
    read_protocol(stream).await
}

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

/// Closes the connection of a peer that does not speak HTTP/2, after a response if it
/// can read one. Reads on for as long as the peer sends.
async fn turn_away(mut stream: TcpStream, protocol: Protocol) {
    let turning_away = async {
        if protocol == Protocol::Http1 {
            stream.write_all(HTTP1_RESPONSE).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // The peer may go away first, which ends the connection as well.
    let _: io::Result<u64> = turning_away.await;
}

/// Returns how the peer broke HTTP/2 or a limit of it, if that ended the connection.
fn broken_by_peer(error: &(dyn Error + 'static)) -> Option<String> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let reason = error.reason().filter(|_| error.is_library())?;
            return Some(format!("{reason:?} ({reason})"));
        }
        source = error.source();
    }
    None
}

/// Serves the RPCs of a connection that speaks HTTP/2.
async fn serve_http2(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    evictable: Evictable,
    goaway: Goaway,
) -> Result<(), BoxError> {
    let settings = &shared.settings;
    let (reader, writer) = stream.into_split();
    let mut capacities = shared.capacities.on_connection();
    capacities.standing = evictable.standing();
    let capacities = Arc::new(capacities);
    let unread = capacities.unread.clone();
    let turn = Turn::default();
    let reader = ResetLimiter::new(reader, goaway.clone());
    let reader = PREFACE.chain(YieldingReader::new(reader, turn.clone()));
    let (batch, writer) = batch(writer, unread.clone(), capacities.write_memory());
    let stream = tokio::io::join(reader, GoawayWriter::new(writer, goaway.clone()));
    let evictable = Arc::new(evictable);
    let service = service_fn({
        let (routes, evictable) = (Arc::clone(&shared.routes), Arc::clone(&evictable));
        move |request| {
            let (routes, capacities) = (Arc::clone(&routes), Arc::clone(&capacities));
            // Not in the future: until its task runs, the metadata would wait uncounted.
            let admitted =
                evictable.may_serve().then(|| routes.admit(&capacities, request));
            // Boxed, so that its memory is free while the response is being written.
            Box::pin(async move {
                Ok::<_, Infallible>(match admitted {
                    Some(Ok(request)) => routes.serve(&capacities, request).await,
                    Some(Err(rejected)) => *rejected,
                    // The connection ends now.
                    None => pending().await,
                })
            })
        }
    });
    let streams = evictable.streams();
    let turns = Turns::new(turn, batch, streams.clone());
    let http2 = limits::http2(streams.clone());
    let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));

    let age = limits::jittered(settings.max_connection_age, fastrand::f64());
    let grace = settings.max_connection_age_grace;
    let limit = settings.write_timeout;
    let idle = settings.max_connection_idle;
    let serving = pin!(async {
        let (reason, grace) = tokio::select! {
            // Nothing has a turn before the frames that have arrived.
            biased;
            ended = connection.as_mut() => {
                return Ok(ended?);
            }
            ending = evictable.ends(first_rpc_timeout(idle)) => {
                if ending == Ending::Unused {
                    debug!(%peer, reason = ending.reason(), "closing connection with GOAWAY");
                    shared.metrics.goaway(ending.reason());
                    goaway.set(ending);
                    return Ok(());
                }
                (ending.reason(), grace)
            }
            () = shared.draining.cancelled() => ("drain", Duration::ZERO),
            () = after(age, sleep(age)) => ("age", grace),
            () = after(idle, streams.idle(idle)) => ("idle", grace),
            () = unread.overdue(limit) => ("unread responses", grace.max(limit)),
        };
        debug!(%peer, reason, "closing connection with GOAWAY");
        shared.metrics.goaway(reason);
        // Sends two GOAWAYs, so that no RPC sent in between is lost (RFC 9113, section 6.8).
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => Ok(ended?),
            // A silent peer does not end it, and others may need the connection.
            ending = evictable.ends_at_once(first_rpc_timeout(idle)) => {
                goaway.set(ending);
                Ok(())
            }
            () = after(grace, sleep(grace)) => Err("RPCs in flight exceeded the grace period".into()),
            // Without a grace period, unread responses still have their timeout.
            () = unread.overdue(limit), if grace.is_zero() => {
                Err("the peer left responses unread".into())
            }
        }
    });
    turns.serve(serving).await
}

/// Returns the time for the first RPC: what idle connections have, if that is less.
fn first_rpc_timeout(idle: Duration) -> Duration {
    if idle.is_zero() { FIRST_RPC_TIMEOUT } else { FIRST_RPC_TIMEOUT.min(idle) }
}

/// Completes with `wait`, or never if the limit is zero, which means no limit.
async fn after(limit: Duration, wait: impl Future<Output = ()>) {
    if limit.is_zero() {
        return pending().await;
    }
    wait.await;
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
