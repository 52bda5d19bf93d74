//! The serving loop.
//!
//! Not `axum::serve`, for two reasons: a client that closes its end right after its
//! request must still get a response, and a client that hangs must not keep a
//! stopping sandbox alive.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{state::SandboxState, wire::Wire};

/// The time for requests in flight after the sandbox is asked to stop.
const GRACE: Duration = Duration::from_secs(2);

/// The pause after a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `shutdown` completes, then for up to [`GRACE`].
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    state: &Arc<SandboxState>,
    shutdown: impl Future<Output = ()>,
) {
    state.start();
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, app.clone(), Arc::clone(state)));
                }
                Err(error) => {
                    tracing::debug!(%error, "sandbox failed to accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    state.stop();
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        tracing::debug!(open = connections.len(), "sandbox closes busy connections");
    }
}

async fn connection(stream: TcpStream, app: Router, state: Arc<SandboxState>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "sandbox connection without TCP_NODELAY");
    }
    let wire = Wire::new(stream);
    let control = wire.control();
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(control.clone());
        request
    });
    let mut serving = pin!(
        http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(wire), TowerToHyperService::new(app))
    );
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = state.stopping() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "sandbox connection failed");
    }
}
