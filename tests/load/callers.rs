//! A caller as gRPC's own are, but that it never retries: a connection to each
//! gateway, a watch on its health, RPCs in turn on those that serve.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request};
use polytomic_gateway::{proto::ListPartnerSharedConnectionsRequest, sandbox::seed};
use prost::Message;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};

pub(crate) const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                    ListPartnerSharedConnections";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The bytes of a health state: gRPC's prefix, a tag and a number.
const STATE: usize = 5 + 2;

/// How long a caller waits before it connects again.
const BACKOFF: Duration = Duration::from_millis(20);

/// How long an RPC may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What became of the RPCs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) took: Vec<Duration>,
    pub(crate) failed: Vec<String>,
    /// RPCs that a gateway refused unseen, and that were sent to another: what
    /// gRPC calls a transparent retry.
    pub(crate) refused_unseen: usize,
}

impl Outcome {
    /// Returns how long all but one in `part` took at most.
    pub(crate) fn all_but_one_in(&mut self, part: usize) -> Duration {
        self.took.sort_unstable();
        let place = self.took.len() - 1 - self.took.len() / part;
        self.took[place]
    }
}

/// A connection to one gateway, while that serves.
#[derive(Debug, Clone, Default)]
struct Channel(Arc<Mutex<Option<SendRequest<Bytes>>>>);

/// A caller of some gateways.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    channels: Vec<Channel>,
    next: Arc<AtomicUsize>,
}

impl Caller {
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        let channels = addresses.iter().map(|address| {
            let channel = Channel::default();
            tokio::spawn(channel.clone().keep(*address));
            channel
        });
        Self { channels: channels.collect(), next: Arc::default() }
    }

    /// Waits until a gateway serves.
    pub(crate) async fn ready(&self, gateway: usize) {
        while self.channels[gateway].0.lock().unwrap().is_none() {
            sleep(BACKOFF).await;
        }
    }

    /// Calls at a rate until `until` completes.
    pub(crate) async fn call(&self, rate: u32, until: impl Future) -> Outcome {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut calls = JoinSet::new();
        let mut outcome = Outcome::default();
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                _ = &mut until => break,
                _ = ticks.tick() => {
                    let caller = self.clone();
                    calls.spawn(async move { caller.list().await });
                }
                Some(call) = calls.join_next() => outcome.add(call.unwrap()),
            }
        }
        while let Some(call) = calls.join_next().await {
            outcome.add(call.unwrap());
        }
        outcome
    }

    /// Calls once, as far as gateways are concerned: an RPC that none of them
    /// has looked at goes to the next, within its deadline.
    async fn list(&self) -> Result<(Duration, usize), String> {
        let started = Instant::now();
        let mut refused = 0;
        let call = async {
            loop {
                let Some(send) = self.pick() else {
                    return Err("no gateway serves".into());
                };
                match list(send).await {
                    Ok(()) => return Ok((started.elapsed(), refused)),
                    Err(Failure::Unseen) => refused += 1,
                    Err(failure) => return Err(format!("{failure:?}")),
                }
            }
        };
        timeout(DEADLINE, call).await.unwrap_or_else(|_| Err("no answer in time".into()))
    }

    fn pick(&self) -> Option<SendRequest<Bytes>> {
        let start = self.next.fetch_add(1, Relaxed);
        (start..start + self.channels.len()).find_map(|place| {
            self.channels[place % self.channels.len()].0.lock().unwrap().clone()
        })
    }
}

impl Outcome {
    fn add(&mut self, call: Result<(Duration, usize), String>) {
        match call {
            Ok((took, refused)) => {
                self.took.push(took);
                self.refused_unseen += refused;
            }
            Err(failure) => self.failed.push(failure),
        }
    }
}

#[derive(Debug)]
enum Failure {
    /// The gateway says that it has not looked at the RPC.
    Unseen,
    Broken(#[allow(dead_code, reason = "shown when the test fails")] h2::Error),
    Status(#[allow(dead_code, reason = "shown when the test fails")] HeaderMap),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        // A GOAWAY without an error is one that the RPC came too late for.
        let unseen = error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR));
        if unseen { Self::Unseen } else { Self::Broken(error) }
    }
}

impl Channel {
    /// Connects, as long as the test runs.
    async fn keep(self, address: SocketAddr) {
        loop {
            let _ = self.connect(address).await;
            *self.0.lock().unwrap() = None;
            sleep(BACKOFF).await;
        }
    }

    /// Is connected until the gateway does not serve any more.
    async fn connect(&self, address: SocketAddr) -> Option<()> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (send, connection) = h2::client::handshake(stream).await.ok()?;
        let connection = tokio::spawn(connection);
        let watch = HealthCheckRequest::default().encode_to_vec();
        let (_, mut states) = open(send.clone(), WATCH, &watch).await.ok()?;
        let mut received = BytesMut::new();
        while let Some(Ok(data)) = states.data().await {
            let _ = states.flow_control().release_capacity(data.len());
            received.extend_from_slice(&data);
            // The states before the last are history; a state fits one byte.
            let end = received.len() - received.len() % STATE;
            if end == 0 {
                continue;
            }
            let message = &received.split_to(end)[end - STATE + 5..];
            let state = HealthCheckResponse::decode(message).ok()?.status();
            let serves = state == ServingStatus::Serving;
            *self.0.lock().unwrap() = serves.then(|| send.clone());
        }
        *self.0.lock().unwrap() = None;
        drop(send);
        // The RPCs in flight have their answers first.
        let _ = connection.await;
        Some(())
    }
}

async fn list(send: SendRequest<Bytes>) -> Result<(), Failure> {
    let request = ListPartnerSharedConnectionsRequest {
        org_id: seed::OWNER_ORGANIZATION.to_owned(),
        connection_id: seed::SHARED_CONNECTION.to_owned(),
    };
    let (head, mut body) = open(send, LIST, &request.encode_to_vec()).await?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
    }
    // An answer without a message has its status in its head.
    let trailers = body.trailers().await?.unwrap_or(head);
    if trailers.get("grpc-status").is_some_and(|status| status == "0") {
        return Ok(());
    }
    Err(Failure::Status(trailers))
}

/// Puts a message in the frame of gRPC.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.extend(message);
    body
}

/// Sends a request, and waits for the head of the response.
async fn open(
    send: SendRequest<Bytes>,
    path: &str,
    message: &[u8],
) -> Result<(HeaderMap, RecvStream), h2::Error> {
    let request = Request::post(format!("http://gateway{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", seed::PARTNER_KEY))
        .body(())
        .unwrap();
    let mut send = send.ready().await?;
    let (response, mut stream) = send.send_request(request, false)?;
    stream.send_data(framed(message).into(), true)?;
    let (head, body) = response.await?.into_parts();
    Ok((head.headers, body))
}
