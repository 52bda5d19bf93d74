//! Faults of networks, proxies and crashes, at random.
//!
//! The gateway promises to lose no share and to make none twice. Tests of that
//! promise need a network that loses and doubles requests. The draws come from a
//! seed; the order of arrival decides which request gets which draw.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use http::StatusCode;
use tokio::time::sleep;

use super::{body::Payload, in_flight::InFlight, wire::Fault};

/// The rate and the kinds of faults.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The seed of the draws.
    pub seed: u64,
    /// The percentage of requests with a fault. These are equally likely:
    ///
    /// - the request is lost: the connection is reset and nothing happens;
    /// - the response is lost, before its first byte or within its body;
    /// - a proxy replaces the response with 502, 503 or 504;
    /// - a proxy sends 503 and does not forward the request;
    /// - the request is delayed, possibly until its client has gone;
    /// - the response is delayed;
    /// - the request takes long, and holds its idempotency key meanwhile;
    /// - the request arrives twice, at the same time.
    pub percent: u8,
    /// The longest delay.
    pub delay: Duration,
}

/// The faults to come.
#[derive(Default)]
pub(super) struct Plan {
    faults: Mutex<Option<Faults>>,
    drawn: AtomicU64,
}

/// How long a request holds its idempotency key.
#[derive(Clone, Copy)]
struct HoldKey(Duration);

impl Plan {
    pub(super) fn set(&self, faults: Option<Faults>) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Draws the fault of the next request, if it gets one: a number and a delay.
    fn draw(&self) -> Option<(u64, Duration)> {
        let faults = (*self.faults.lock().unwrap_or_else(PoisonError::into_inner))?;
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let draw = scramble(faults.seed.wrapping_add(scramble(count)));
        let has_fault = draw % 100 < u64::from(faults.percent);
        let delay = faults.delay.mul_f64(f64::from((draw >> 48) as u16) / 65_536.0);
        has_fault.then_some((draw / 100, delay))
    }
}

/// Spreads a number over all 64 bits (the finaliser of `SplitMix64`).
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Injects the fault that the plan draws for a request, if any.
pub(super) async fn inject_fault(
    State((plan, in_flight)): State<(Arc<Plan>, InFlight)>,
    Extension(Payload(body)): Extension<Payload>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some((draw, delay)) = plan.draw() else { return next.run(request).await };
    match draw % 11 {
        0 => faulty(StatusCode::OK.into_response(), Fault::Reset),
        1 => faulty(next.run(request).await, Fault::Reset),
        2 => faulty(next.run(request).await, Fault::Half),
        3 => replace(next.run(request).await, StatusCode::BAD_GATEWAY),
        4 => replace(next.run(request).await, StatusCode::SERVICE_UNAVAILABLE),
        5 => replace(next.run(request).await, StatusCode::GATEWAY_TIMEOUT),
        6 => page(StatusCode::SERVICE_UNAVAILABLE),
        7 => {
            sleep(delay).await;
            next.run(request).await
        }
        8 => {
            let response = next.run(request).await;
            sleep(delay).await;
            response
        }
        9 => {
            request.extensions_mut().insert(HoldKey(delay));
            next.run(request).await
        }
        _ => {
            let (head, _) = request.into_parts();
            let mut copy = Request::from_parts(head.clone(), body.clone().into());
            copy.extensions_mut().insert(HoldKey(delay));
            let (guard, first) = (in_flight.enter(), next.clone());
            tokio::spawn(async move {
                first.run(copy).await;
                drop(guard);
            });
            next.run(Request::from_parts(head, body.into())).await
        }
    }
}

/// Delays a request that holds its idempotency key, if its fault says so.
pub(super) async fn hold_key(request: Request, next: Next) -> Response {
    if let Some(HoldKey(delay)) = request.extensions().get().copied() {
        sleep(delay).await;
    }
    next.run(request).await
}

fn faulty(mut response: Response, fault: Fault) -> Response {
    response.extensions_mut().insert(fault);
    response
}

/// Responds as a proxy that has lost the response.
fn replace(_lost: Response, status: StatusCode) -> Response {
    page(status)
}

fn page(status: StatusCode) -> Response {
    (status, Html(format!("<html><h1>{status}</h1></html>"))).into_response()
}
