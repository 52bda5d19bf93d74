//! Serves one RPC of the contract: the bytes of a request message in, those of one or
//! several responses out.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::{Request, body::Body};

use super::{stream, unary};
use crate::{
    budget::{Capacities, Reservation},
    contract::Rpc,
    gateway::{self, Gateway},
};

/// Serves one request for an RPC of the contract, whose headers `arrived` then. It holds
/// the `reservation` with which it was received until its client is known.
pub(super) async fn serve(
    gateway: &Gateway,
    rpc: &Arc<Rpc>,
    arrived: Instant,
    request: http::Request<Bytes>,
    capacities: &Capacities,
    reservation: Reservation,
) -> http::Response<Body> {
    let request = Request::from_http(request);
    let received = capacities.received(reservation);
    let response = match gateway.call(rpc, arrived, request, received).await {
        Ok(response) => response,
        Err(status) => return status.into_http(),
    };
    let (metadata, body, _) = response.into_parts();
    let headers = metadata.into_headers();
    match body {
        gateway::Body::Message(message) => {
            let (message, memory) = message.take();
            let response = unary::success(headers, message);
            response.map(|body| capacities.unread.watch(body, memory))
        }
        gateway::Body::Stream(messages) => {
            stream::response(headers, *messages, &capacities.unread)
        }
    }
}
