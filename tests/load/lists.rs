//! Large lists that arrive together: all are served, within the memory for responses, and
//! other clients do not notice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use kit::{
    caller::{self, LIST, METADATA},
    connection::Connection,
};
use polytomic_gateway::proto::{
    ListPartnerSharedConnectionsRequest, ListPartnerSharedConnectionsResponse,
};
use prost::Message;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{
    environment::{ANY_PORT, LARGE},
    harness::{Attack, Harness},
    responses,
};

const CONNECTIONS: usize = 4;
const LISTS: usize = 64;
const LENGTH: usize = 5_000;

/// Maximum of memory in KiB that the lists may add: 200 MiB, less what a gateway has that
/// serves small responses.
const MEMORY: u64 = 180 << 10;

/// Only the lists as JSON take 300 MB. An unoptimised gateway needs some seconds for each.
const FLAGS: &[&str] = &["--timeout", "300", "--attempts", "1"];

/// Measures the lists.
pub(crate) async fn run() {
    let harness = Harness::set("", upstream()).await;
    let attack = Attack {
        flags: FLAGS,
        length: Duration::ZERO,
        // A second time, the gateway would reserve memory for the lists before it sends
        // them, and the upstream would not have all at the same time.
        times: 1,
        memory: MEMORY,
        ..Attack::of("64 lists of 5,000")
    };
    for messages in harness.attacked(attack, |address, _| list_all(address)).await {
        let served = messages.into_iter().filter(is_whole).count();
        println!("lists:   {served} of {LISTS} were served");
        harness.check(served == LISTS, || format!("{served} lists were served"));
    }
    let broken = harness.broken();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Starts an upstream that responds with large lists about [`LARGE`], once all are
/// requested, and with small ones otherwise. Returns its URL.
async fn upstream() -> String {
    let list = |length| Bytes::from(responses::list(length));
    let (small, large) = (list(1), list(LENGTH));
    println!("lists: a list of {LENGTH} has {} bytes", large.len());
    let requested = Arc::new(AtomicUsize::new(0));
    let together = Arc::new(Semaphore::new(0));
    let respond = move |uri: http::Uri| async move {
        let is_large = uri.path().contains(LARGE);
        if is_large {
            if (requested.fetch_add(1, SeqCst) + 1).is_multiple_of(LISTS) {
                together.add_permits(LISTS);
            }
            together.acquire().await.unwrap().forget();
        }
        let body = if is_large { large } else { small };
        ([("content-type", "application/json")], body)
    };
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Sends all lists at the same time. Returns the messages of those that were served. They
/// are decoded only afterwards: that would take the processors from the gateway.
async fn list_all(address: SocketAddr) -> Vec<Bytes> {
    let request = ListPartnerSharedConnectionsRequest {
        org_id: LARGE.to_owned(),
        connection_id: LARGE.to_owned(),
    };
    let mut calls = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (connection, _) = Connection::open(address).await.unwrap();
        for _ in 0..LISTS / CONNECTIONS {
            let body = caller::frame(&request.encode_to_vec());
            let connection = connection.clone();
            calls.spawn(async move {
                let reply = connection.call(LIST, METADATA, body).await.unwrap();
                if reply.code() != tonic::Code::Ok {
                    println!("lists:   {:?}: {}", reply.code(), reply.message());
                    return None;
                }
                Some(reply.body.slice(5..))
            });
        }
    }
    calls.join_all().await.into_iter().flatten().collect()
}

/// Reports whether a message is the whole list.
fn is_whole(message: &Bytes) -> bool {
    let list = ListPartnerSharedConnectionsResponse::decode(message.clone());
    list.unwrap().connections.len() == LENGTH
}
