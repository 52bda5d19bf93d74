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
    greeting::{First, Greeting, Stream, first, greet},
    limits::{self, FIRST_RPC_TIMEOUT, Settings},
    metrics::ConnectionMetrics,
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
    /// Without it, connections are plaintext.
    pub(super) tls: Option<Arc<ServerTls>>,
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
    /// Waits until it is known how the peer begins. Returns `None` if the connection has to
    /// end before.
    pub(super) async fn first(&mut self) -> Option<First> {
        let Self { stream, peer, shared, evictable } = self;
        let handshake = shared.settings.handshake_timeout;
        let first = tokio::select! {
            // A connection whose preface has arrived is served, also during a drain.
            biased;
            first = first(stream, shared.tls.is_some()) => first,
            _ = evictable.ends(handshake) => Err(no_preface()),
            // hyper would wait for the preface, and the drain for hyper (hyperium/hyper#4170).
            () = shared.draining.cancelled() => return None,
        };
        first.inspect_err(|error| ended_by(*peer, error)).ok()
    }

    /// Serves the connection until its peer or one of the limits ends it. During a drain
    /// it accepts no new RPCs; the server closes it at the drain limit.
    pub(super) async fn serve(self, first: First) {
        let Self { stream, peer: address, shared, evictable } = self;
        let handshake = evictable.left_of(shared.settings.handshake_timeout);
        let greeting = tokio::select! {
            biased;
            greeting = greet(stream, address, first, shared.tls.as_deref()) => greeting,
            _ = evictable.ends(handshake) => Err(no_preface()),
            () = shared.draining.cancelled() => return,
        };
        let (stream, peer) = match greeting {
            Ok(Greeting::Http2(stream, peer)) => (stream, peer),
            Ok(Greeting::TurnedAway(away)) => {
                let (rejected, detail) = (&shared.rejected, &away.detail);
                rejected.record(away.reason, format_args!("{detail} from {address}"));
                tokio::select! {
                    // The answer goes out, also if others need the connection.
                    biased;
                    () = away.close() => {}
                    _ = evictable.ends(LINGER_TIME) => {}
                }
                return;
            }
            Err(error) => return ended_by(address, &error),
        };
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
                let detail = format_args!("{broken} from {address}");
                shared.rejected.record(Reason::Http2, detail);
            }
            ended_by(address, &*error);
        }
    }
}

fn ended_by(peer: SocketAddr, error: &(dyn Error + 'static)) {
    debug!(%peer, error, "connection ended with an error");
}

fn no_preface() -> io::Error {
    io::Error::other("no HTTP/2 preface, and others need the connection")
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

    // Dropped before the connection, also when that is aborted.
    let mut leaving = Leaving(Some(&peer));
    let age = limits::jittered(settings.max_connection_age, fastrand::f64());
    let grace = settings.max_connection_age_grace;
    let limit = settings.write_timeout;
    let idle = settings.max_connection_idle;
    let serving = pin!(async {
        let (reason, grace) = tokio::select! {
            // Nothing has a turn before the frames that have arrived.
            biased;
            ended = connection.as_mut() => {
                leaving.0 = None;
                return Ok(ended?);
            }
            ending = evictable.ends(first_rpc_timeout(idle)) => {
                if ending == Ending::Unused {
                    debug!(peer = %peer.address, reason = ending.reason(), "closing connection with GOAWAY");
                    shared.metrics.goaway(ending.reason());
                    goaway.set(ending);
                    return Ok(());
                }
                (ending.reason(), grace)
            }
            () = shared.draining.cancelled() => ("drain", Duration::ZERO),
            () = after(age, sleep(age)) => ("age", grace),
            () = after(idle, streams.idle(idle)) => ("idle", grace),
            () = unread.overdue(limit) => ("unread_responses", grace.max(limit)),
        };
        debug!(peer = %peer.address, reason, "closing connection with GOAWAY");
        shared.metrics.goaway(reason);
        // Sends two GOAWAYs, so that no RPC sent in between is lost (RFC 9113, section 6.8).
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => {
                leaving.0 = None;
                Ok(ended?)
            }
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

/// Says at its end that the gateway ends a connection, unless that has ended before.
struct Leaving<'a>(Option<&'a Peer>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(peer) = self.0 {
            peer.leave();
        }
    }
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
