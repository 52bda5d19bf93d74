//! A gateway that has used up its file descriptors.

use std::time::Duration;

use polytomic_gateway::proto::partner_shared_connections_service_client::PartnerSharedConnectionsServiceClient as Client;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Request, transport::Channel};

use kit::{
    Caller,
    caller::{KEY, list_request},
    process::{Process, command_with_descriptors},
};

/// Enough for the program, its sandbox and about twenty connections.
const DESCRIPTORS: u32 = 40;

/// Longer than any step takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn gateway_keeps_serving_and_warns_once_a_second() {
    let process = Process::spawn(command_with_descriptors(
        DESCRIPTORS,
        &["serve", "--sandbox", "--listen", "127.0.0.1:0", "--handshake-timeout", "3600"],
    ))
    .await;
    let url = format!("http://{}", process.address);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = Client::new(channel);
    let list = || {
        let mut request = Request::new(list_request());
        let key = format!("Bearer {KEY}").parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        request
    };
    client.list_partner_shared_connections(list()).await.unwrap();

    let started = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        // The system accepts these, even if the gateway does not.
        idle.push(TcpStream::connect(process.address).await.unwrap());
    }
    process.logs("accept failed", 1).await;
    client.list_partner_shared_connections(list()).await.unwrap();
    let waiting = tokio::spawn(Caller::list(process.address).send());
    process.logs("accept failed", 3).await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    client.list_partner_shared_connections(list()).await.unwrap();
    assert!(!waiting.is_finished());

    drop(idle);
    let reply = timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    let reply = timeout(LONG, Caller::list(process.address).send()).await.unwrap();
    assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    process.signal("TERM").await;
    let (code, written) = process.wait().await;
    assert_eq!(code, Some(0), "{written}");
}
