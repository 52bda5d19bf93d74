//! A client with the round-robin policy of gRPC's own, but without retries: a
//! connection to each gateway, a watch on its health, RPCs in turn on those that
//! serve.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use kit::{
    caller::{LIST, METADATA, frame},
    connection::Connection,
};
use polytomic_gateway::{proto::ListPartnerSharedConnectionsRequest, sandbox::seed};
use prost::Message;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};

pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The bytes of a health state: gRPC's prefix, a tag and a number.
const STATE: usize = 5 + 2;

/// How long a client waits before it connects again.
const BACKOFF: Duration = Duration::from_millis(20);

/// Maximum time of an RPC.
const DEADLINE: Duration = Duration::from_secs(10);

/// The outcomes of some RPCs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) took: Vec<Duration>,
    pub(crate) failed: Vec<String>,
    /// How often a gateway rejected an RPC unprocessed, and the RPC went to another:
    /// what gRPC calls a transparent retry.
    pub(crate) transparent_retries: usize,
}

impl Outcome {
    /// Returns the longest time without the slowest 1 of `part`.
    pub(crate) fn all_but_one_in(&mut self, part: usize) -> Duration {
        self.took.sort_unstable();
        let place = self.took.len() - 1 - self.took.len() / part;
        self.took[place]
    }
}

/// A connection to one gateway while that gateway serves.
#[derive(Debug, Clone, Default)]
struct Channel(Arc<watch::Sender<Option<Connection>>>);

/// A client of some gateways.
#[derive(Debug, Clone)]
pub(crate) struct BalancedClient {
    channels: Vec<Channel>,
    next: Arc<AtomicUsize>,
}

impl BalancedClient {
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
        let mut connection = self.channels[gateway].0.subscribe();
        connection.wait_for(Option::is_some).await.unwrap();
    }

    /// Sends RPCs at a rate until `until` completes.
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
                    let client = self.clone();
                    calls.spawn(async move { client.list().await });
                }
                Some(call) = calls.join_next() => outcome.add(call.unwrap()),
            }
        }
        while let Some(call) = calls.join_next().await {
            outcome.add(call.unwrap());
        }
        outcome
    }

    /// Sends one RPC. If a gateway reports that it has not processed the RPC, sends it
    /// to the next gateway within the same deadline.
    async fn list(&self) -> Result<(Duration, usize), String> {
        let started = Instant::now();
        let mut unseen = 0;
        let call = async {
            loop {
                let Some(connection) = self.pick() else {
                    return Err("no gateway serves".into());
                };
                match list(&connection).await {
                    Ok(()) => return Ok((started.elapsed(), unseen)),
                    Err(Failure::Unseen) => unseen += 1,
                    Err(failure) => return Err(format!("{failure:?}")),
                }
            }
        };
        timeout(DEADLINE, call)
            .await
            .unwrap_or_else(|_| Err("no response in time".into()))
    }

    fn pick(&self) -> Option<Connection> {
        let start = self.next.fetch_add(1, Relaxed);
        (start..start + self.channels.len()).find_map(|place| {
            self.channels[place % self.channels.len()].0.borrow().clone()
        })
    }
}

impl Outcome {
    fn add(&mut self, call: Result<(Duration, usize), String>) {
        match call {
            Ok((took, unseen)) => {
                self.took.push(took);
                self.transparent_retries += unseen;
            }
            Err(failure) => self.failed.push(failure),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Failure {
    /// The gateway reports that it has not processed the RPC.
    Unseen,
    Broken(#[allow(dead_code, reason = "shown when the test fails")] h2::Error),
    Status(#[allow(dead_code, reason = "shown when the test fails")] tonic::Status),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        // A GOAWAY without an error means that the RPC came too late.
        let unseen = error.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR));
        if unseen { Self::Unseen } else { Self::Broken(error) }
    }
}

impl Channel {
    /// Reconnects for as long as the test runs.
    async fn keep(self, address: SocketAddr) {
        loop {
            let _ = self.connect(address).await;
            self.0.send_replace(None);
            sleep(BACKOFF).await;
        }
    }

    /// Stays connected until the gateway serves no more.
    async fn connect(&self, address: SocketAddr) -> Option<()> {
        let (connection, driver) = Connection::open(address).await.ok()?;
        let (response, mut body) = connection.start(WATCH, METADATA).await.ok()?;
        let request = frame(&HealthCheckRequest::default().encode_to_vec());
        body.send_data(request.into(), true).ok()?;
        let mut states = response.await.ok()?.into_body();
        let mut received = BytesMut::new();
        while let Some(Ok(data)) = states.data().await {
            let _ = states.flow_control().release_capacity(data.len());
            received.extend_from_slice(&data);
            // Only the last state matters. A state fits into one byte.
            let end = received.len() - received.len() % STATE;
            if end == 0 {
                continue;
            }
            let message = &received.split_to(end)[end - STATE + 5..];
            let state = HealthCheckResponse::decode(message).ok()?.status();
            let serves = state == ServingStatus::Serving;
            self.0.send_replace(serves.then(|| connection.clone()));
        }
        self.0.send_replace(None);
        drop(connection);
        // RPCs in flight get their responses first.
        let _ = driver.await;
        Some(())
    }
}

pub(crate) async fn list(connection: &Connection) -> Result<(), Failure> {
    let request = ListPartnerSharedConnectionsRequest {
        org_id: seed::OWNER_ORGANIZATION.to_owned(),
        connection_id: seed::SHARED_CONNECTION.to_owned(),
    };
    let body = frame(&request.encode_to_vec());
    let reply = connection.call(LIST, METADATA, body).await?;
    if reply.code() == tonic::Code::Ok {
        Ok(())
    } else {
        Err(Failure::Status(reply.grpc()))
    }
}
