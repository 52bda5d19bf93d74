//! A list of 100,000 connections as a stream: the memory of the gateway, and the time
//! from the first bytes of the upstream to the first message.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kit::{
    Origin, Protocol,
    caller::{KEY, stream_request},
    origin,
};
use polytomic_gateway::{
    proto::{
        StreamPartnerSharedConnectionsRequest,
        partner_shared_connections_service_client::PartnerSharedConnectionsServiceClient as Client,
    },
    sandbox::seed::connection_with_copies,
};
use tokio::time::{Instant, timeout};
use tonic::{Request, transport::Channel};

use crate::{
    environment::{ANY_PORT, start, upstream},
    isolated::IsolatedRuntime,
};

const LENGTH: u32 = 100_000;

/// The maximum of memory that the stream may add, in bytes.
const MEMORY: u64 = 30 << 20;

/// The maximum of the median from the first bytes to the first message.
const FIRST: Duration = Duration::from_millis(5);

/// How often that is measured.
const TIMES: usize = 21;

/// Longer than the stream takes without optimisation on a busy machine.
const LONG: Duration = Duration::from_secs(300);

pub(crate) async fn run() {
    memory().await;
    first_message().await;
}

async fn client(address: std::net::SocketAddr) -> Client<Channel> {
    let url = format!("http://{address}");
    Client::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

fn with_key(
    message: StreamPartnerSharedConnectionsRequest,
) -> Request<StreamPartnerSharedConnectionsRequest> {
    let mut request = Request::new(message);
    let key = format!("Bearer {KEY}").parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    request
}

async fn memory() {
    let runtime = IsolatedRuntime::start(1);
    let url = runtime.spawn(upstream()).await.unwrap();
    let gateway = start(ANY_PORT, &url, &[]).await;
    let mut client = client(gateway.address).await;
    let count = async |client: &mut Client<Channel>, length| {
        let connection_id = connection_with_copies(length);
        let message =
            StreamPartnerSharedConnectionsRequest { connection_id, ..stream_request() };
        let request = with_key(message);
        let response = client.stream_partner_shared_connections(request).await;
        let (mut stream, mut received) = (response.unwrap().into_inner(), 0);
        while stream.message().await.unwrap().is_some() {
            received += 1;
        }
        assert_eq!(received, length);
    };
    count(&mut client, 1).await;
    let (before, started) = (gateway.resident_memory().unwrap(), Instant::now());
    let worked = gateway.processor_time().unwrap();
    timeout(LONG, count(&mut client, LENGTH)).await.expect("the stream ends");
    let took = started.elapsed();
    let worked = gateway.processor_time().unwrap().saturating_sub(worked);
    let added = gateway.peak_memory().unwrap().saturating_sub(before);
    println!(
        "streams: {LENGTH} connections in {took:.1?}, of which the gateway worked \
         {worked:.1?}; memory + {} KiB above {} KiB",
        added >> 10,
        before >> 10
    );
    assert!(added <= MEMORY, "memory + {added} bytes");
}

async fn first_message() {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let (parts, taken) = origin::parts();
        let taken = Arc::new(Mutex::new(Some(taken)));
        let runtime = IsolatedRuntime::start(1);
        let respond = move |_| {
            let taken = taken.lock().unwrap().take().unwrap();
            async move { origin::json_in_parts(taken) }
        };
        let origin =
            runtime.spawn(Origin::start(Protocol::Http1, respond)).await.unwrap();
        let [_, url] = origin.flags()[..] else { panic!("not one flag") };
        let gateway = start(ANY_PORT, url, &[]).await;
        let mut client = client(gateway.address).await;
        // The upstream has received the request once it takes this.
        parts.send(" ".into()).await.unwrap();
        let calling = tokio::spawn(async move {
            let request = with_key(stream_request());
            let stream = client.stream_partner_shared_connections(request).await;
            let mut stream = stream.unwrap().into_inner();
            stream.message().await.unwrap().unwrap();
            (Instant::now(), stream)
        });
        parts.send(" ".into()).await.unwrap();
        let started = Instant::now();
        parts.send(r#"{"data":[{"id":"1"},"#.into()).await.unwrap();
        let (arrived, _stream) = timeout(LONG, calling).await.unwrap().unwrap();
        times.push(arrived - started);
    }
    times.sort_unstable();
    let (least, median, most) = (times[0], times[TIMES / 2], times[TIMES - 1]);
    println!(
        "streams: first message {median:.1?} ({least:.1?} to {most:.1?}) after the first bytes"
    );
    assert!(cfg!(debug_assertions) || median <= FIRST, "{median:?}");
}
