//! One connection, from its first byte to its last RPC.

use std::{
    convert::Infallible, error::Error, future::pending, io, net::SocketAddr, pin::pin,
    sync::Arc, time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, split},
    net::TcpStream,
    time::sleep,
};
use tokio_util::{either::Either, sync::CancellationToken};
use tower::BoxError;
use tracing::debug;

use super::{
    batch::batch,
    eviction::Evictable,
    goaway::{Ending, Goaway, GoawayWriter},
    greeting::{Greeting, Stream, greet},
    limits::{self, FIRST_RPC_TIMEOUT, Settings},
    protocol::PREFACE,
    rejected::{Reason, Rejected},
    resets::ResetLimiter,
    turns::Turns,
    yielding::{Turn, YieldingReader},
};
use crate::{budget::Capacities, grpc::Routes, peer::Peer, tls::ServerTls};

/// Maximum time to read from a peer that is turned away: enough for a request on its
/// way, since bytes left unread would reset the connection, and the reset can overtake
/// the response.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// What all connections share: copies would be most of the memory of a silent one.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) routes: Arc<Routes>,
    pub(super) capacities: Capacities,
    pub(super) settings: Settings,
    pub(super) draining: CancellationToken,
    pub(super) rejected: Rejected,
    /// Without it, connections are plaintext.
    pub(super) tls: Option<Arc<ServerTls>>,
}

/// Serves a connection until its peer or one of the limits ends it. During a drain it
/// accepts no new RPCs; the server closes it at the drain limit.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    evictable: Evictable,
) {
    let handshake = shared.settings.handshake_timeout;
    let greeting = tokio::select! {
        // A connection whose preface has arrived is served, also during a drain.
        biased;
        greeting = greet(stream, address, shared.tls.as_deref()) => greeting,
        _ = evictable.ends(handshake) => {
            Err(io::Error::other("no HTTP/2 preface, and others need the connection"))
        }
        // hyper would wait for the preface, and the drain for hyper (hyperium/hyper#4170).
        () = shared.draining.cancelled() => return,
    };
    let goaway = Goaway::default();
    let ended = match greeting {
        Ok(Greeting::Http2(stream, peer)) => {
            let serving = serve_http2(stream, peer, &shared, evictable, goaway.clone());
            Box::pin(serving).await
        }
        Ok(Greeting::TurnedAway(away)) => {
            let (rejected, detail) = (&shared.rejected, &away.detail);
            rejected.record(away.reason, format_args!("{detail} from {address}"));
            tokio::select! {
                // The answer goes out, also if others need the connection.
                biased;
                () = Box::pin(away.close()) => return,
                _ = evictable.ends(LINGER_TIME) => return,
            }
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = ended {
        let broken = match goaway.get() {
            Some(Ending::TooManyResets) => Some("too many streams were reset".to_owned()),
            _ => broken_by_peer(&*error),
        };
        if let Some(broken) = broken {
            shared
                .rejected
                .record(Reason::Http2, format_args!("{broken} from {address}"));
        }
        debug!(peer = %address, error, "connection ended with an error");
    }
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
    stream: Stream,
    peer: Peer,
    shared: &Shared,
    evictable: Evictable,
    goaway: Goaway,
) -> Result<(), BoxError> {
    let settings = &shared.settings;
    let (reader, writer) = match stream {
        Either::Left(stream) => {
            let (reader, writer) = stream.into_split();
            (Either::Left(reader), Either::Left(writer))
        }
        Either::Right(stream) => {
            let (reader, writer) = split(stream);
            (Either::Right(reader), Either::Right(writer))
        }
    };
    let peer = Arc::new(peer);
    let mut capacities = shared.capacities.on_connection();
    capacities.standing = evictable.standing();
    capacities.peer = Some(Arc::clone(&peer));
    let capacities = Arc::new(capacities);
    let unread = capacities.unread.clone();
    let turn = Turn::default();
    let reader = ResetLimiter::new(reader, goaway.clone());
    let reader = PREFACE.chain(YieldingReader::new(reader, turn.clone()));
    let (batch, writer) = batch(writer, unread.clone());
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
                    debug!(peer = %peer.address, reason = ending.reason(), "closing connection with GOAWAY");
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
        debug!(peer = %peer.address, reason, "closing connection with GOAWAY");
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
