//! What networks, proxies and crashes do to requests, at random.
//!
//! A gateway that promises that no share is lost and none is made twice must be
//! tried where requests are lost and made twice. The draws come from a seed; which
//! request gets which depends on the order in which they arrive.

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
use tokio::{sync::watch, time::sleep};

use super::{exchange::Payload, wire::Fault, world::World};

/// How often requests fail, and how.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// What the draws come from.
    pub seed: u64,
    /// The share of requests that something befalls, in percent. What it is, is
    /// one of these, each as likely:
    ///
    /// - the request is lost: the connection is reset and nothing is done;
    /// - the answer is lost, before its first byte, or within its body;
    /// - a proxy answers 502, 503 or 504 in the place of the answer;
    /// - a proxy answers 503 and has not passed the request on;
    /// - the request comes late, though its caller may be gone;
    /// - the answer comes late;
    /// - the request takes long, and holds its idempotency key meanwhile;
    /// - the request comes twice, at the same time.
    pub percent: u8,
    /// The longest delay.
    pub delay: Duration,
}

/// The faults to come, and the requests that are under way.
pub(super) struct Plan {
    faults: Mutex<Option<Faults>>,
    drawn: AtomicU64,
    under_way: watch::Sender<usize>,
}

/// A request that is being handled.
pub(super) struct UnderWay(watch::Sender<usize>);

/// How long a request lingers while it holds its idempotency key.
#[derive(Clone, Copy)]
struct Linger(Duration);

impl Default for Plan {
    fn default() -> Self {
        let (faults, drawn) = (Mutex::default(), AtomicU64::default());
        Self { faults, drawn, under_way: watch::Sender::new(0) }
    }
}

impl Plan {
    pub(super) fn set(&self, faults: Option<Faults>) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    pub(super) fn under_way(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(self.under_way.clone())
    }

    pub(super) async fn idle(&self) {
        // The sender lives in `self`, so this cannot end for want of one.
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Draws a number for the next request, if something is to befall it.
    fn draw(&self) -> Option<(u64, Duration)> {
        let faults = (*self.faults.lock().unwrap_or_else(PoisonError::into_inner))?;
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let draw = scramble(faults.seed.wrapping_add(scramble(count)));
        let befalls = draw % 100 < u64::from(faults.percent);
        let delay = faults.delay.mul_f64(f64::from((draw >> 48) as u16) / 65_536.0);
        befalls.then_some((draw / 100, delay))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Spreads a number over all 64 bits (the finaliser of `SplitMix64`).
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Lets befall a request what the plan has for it.
pub(super) async fn befall(
    State(world): State<Arc<World>>,
    Extension(Payload(body)): Extension<Payload>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some((draw, delay)) = world.faults.draw() else { return next.run(request).await };
    match draw % 11 {
        0 => faulty(StatusCode::OK.into_response(), Fault::Reset),
        1 => faulty(next.run(request).await, Fault::Reset),
        2 => faulty(next.run(request).await, Fault::Half),
        3 => instead(next.run(request).await, StatusCode::BAD_GATEWAY),
        4 => instead(next.run(request).await, StatusCode::SERVICE_UNAVAILABLE),
        5 => instead(next.run(request).await, StatusCode::GATEWAY_TIMEOUT),
        6 => page(StatusCode::SERVICE_UNAVAILABLE),
        7 => {
            sleep(delay).await;
            next.run(request).await
        }
        8 => {
            let answer = next.run(request).await;
            sleep(delay).await;
            answer
        }
        9 => {
            request.extensions_mut().insert(Linger(delay));
            next.run(request).await
        }
        _ => {
            let (head, _) = request.into_parts();
            let mut copy = Request::from_parts(head.clone(), body.clone().into());
            copy.extensions_mut().insert(Linger(delay));
            let (under_way, first) = (world.faults.under_way(), next.clone());
            tokio::spawn(async move {
                first.run(copy).await;
                drop(under_way);
            });
            next.run(Request::from_parts(head, body.into())).await
        }
    }
}

/// Keeps a request under way inside of its idempotency key, if that was drawn.
pub(super) async fn linger(request: Request, next: Next) -> Response {
    if let Some(Linger(delay)) = request.extensions().get().copied() {
        sleep(delay).await;
    }
    next.run(request).await
}

fn faulty(mut answer: Response, fault: Fault) -> Response {
    answer.extensions_mut().insert(fault);
    answer
}

/// Answers as a proxy does that has lost the answer.
fn instead(_lost: Response, status: StatusCode) -> Response {
    page(status)
}

fn page(status: StatusCode) -> Response {
    (status, Html(format!("<html><h1>{status}</h1></html>"))).into_response()
}
