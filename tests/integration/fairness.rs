//! What one client may hold, and what it leaves to others. A client is a key, however
//! many connections it uses; where the gateway cannot tell keys apart, a connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use polytomic_gateway::budget::{self, FairShare};
use prost::Message;
use tempfile::NamedTempFile;
use tokio::{task::JoinSet, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::Code;

use kit::{
    Caller, Fake, Gateway, HOST, Origin, Protocol,
    caller::{self, KEY, LIST, SERVICE, list_request},
    connection::Connection,
    fake::{Script, Step},
    frames::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, frame, rpc},
    origin, over_both,
    tls::{Authority, TlsFiles, VALID},
    until,
};

const LONG: Duration = Duration::from_secs(60);

/// Returns how the gateway shares this many RPCs in flight, among connections or keys.
fn in_flight(max_in_flight: usize) -> FairShare {
    let settings = budget::Settings {
        response_memory: 256 << 20,
        max_in_flight,
        max_connections: 1024,
    };
    settings.shares().in_flight
}

/// An upstream that knows every key, and never responds to a list.
struct Stalled {
    origin: Origin,
    lists: Arc<AtomicUsize>,
}

impl Stalled {
    async fn start(protocol: Protocol) -> Self {
        const ME: &[u8] = br#"{"data":{"organization_id":"one","is_partner":true}}"#;

        let lists = Arc::<AtomicUsize>::default();
        let begun = Arc::clone(&lists);
        let respond = move |path: String| {
            let begun = Arc::clone(&begun);
            async move {
                if path != "/api/me" {
                    begun.fetch_add(1, SeqCst);
                    return std::future::pending().await;
                }
                origin::json(&Bytes::from_static(ME), true)
            }
        };
        Self { origin: Origin::start(protocol, respond).await, lists }
    }

    /// Returns the lists that have arrived so far.
    fn lists(&self) -> usize {
        self.lists.load(SeqCst)
    }
}

/// RPCs that are in flight, and those that were rejected.
#[derive(Default)]
struct Calls {
    tasks: JoinSet<()>,
    rejected: Arc<std::sync::Mutex<Vec<tonic::Status>>>,
}

impl Calls {
    /// Sends a list with this key.
    fn send(&mut self, connection: &Connection, key: &str) {
        let (connection, rejected) = (connection.clone(), Arc::clone(&self.rejected));
        let authorization = format!("Bearer {key}");
        self.tasks.spawn(async move {
            let mut metadata = caller::METADATA;
            metadata[2].1 = &authorization;
            let body = caller::frame(&list_request().encode_to_vec());
            let reply = connection.call(LIST, metadata, body).await.unwrap();
            rejected.lock().unwrap().push(reply.grpc());
        });
    }

    fn rejected(&self) -> usize {
        self.rejected.lock().unwrap().len()
    }
}

async fn connect(gateway: &Gateway) -> Connection {
    Connection::open(gateway.address).await.unwrap().0
}

/// Whether the gateway asks Polytomic whose key it is.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    Confirmed,
    Unconfirmed,
}

/// Starts a gateway for 64 RPCs in flight.
async fn gateway(stalled: &Stalled, keys: Keys) -> Gateway {
    let mut flags = vec!["--max-in-flight", "64"];
    if keys == Keys::Unconfirmed {
        flags.push("--no-key-check");
    }
    Gateway::on_origin(&stalled.origin, &flags).await
}

#[tokio::test]
async fn key_on_many_connections_gets_the_share_of_one_client() {
    over_both(async |protocol| {
        for keys in [Keys::Confirmed, Keys::Unconfirmed] {
            let stalled = Stalled::start(protocol).await;
            let gateway = gateway(&stalled, keys).await;
            let mut greedy = Calls::default();
            for _ in 0..60 {
                let connection = connect(&gateway).await;
                for _ in 0..4 {
                    greedy.send(&connection, "greedy");
                }
            }
            until(|| stalled.lists() + greedy.rejected() == 240).await;
            let share = match keys {
                Keys::Confirmed => in_flight(64).limit(0),
                Keys::Unconfirmed => 64 / 4,
            };
            assert_eq!(stalled.lists(), share);
            let rejected = greedy.rejected.lock().unwrap().clone();
            let words = format!("This client has {share} RPCs in flight");
            assert!(rejected[0].message().starts_with(&words), "{}", rejected[0]);
            assert!(rejected[0].message().contains("Nothing was sent to Polytomic"));
            assert!(rejected.iter().all(|one| one.code() == Code::ResourceExhausted));

            let mut others = Calls::default();
            for other in 0..10 {
                others.send(&connect(&gateway).await, &format!("other-{other}"));
            }
            until(|| stalled.lists() + others.rejected() == share + 10).await;
            assert_eq!(others.rejected(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn identity_on_many_connections_gets_the_share_of_one_client() {
    over_both(async |protocol| {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = TlsFiles::new(&authority.issue(&[HOST], VALID), &clients);
        let key = NamedTempFile::new().unwrap();
        std::fs::write(key.path(), KEY).unwrap();
        let path = key.path().to_str().unwrap();
        let mode = ["--auth-mode", "static", "--partner-key-file", path];
        let flags = [&mode[..], &files.mutual(), &["--max-in-flight", "64"]].concat();
        let stalled = Stalled::start(protocol).await;
        let gateway = Gateway::on_origin(&stalled.origin, &flags).await;
        let connect = async |name: &str| {
            let shown = clients.issue(&[name], VALID);
            let tls = TlsConnector::from(Arc::new(authority.client(Some(&shown))));
            Connection::open_tls(gateway.address, &tls).await.unwrap().0
        };
        let mut greedy = Calls::default();
        for _ in 0..20 {
            let connection = connect("spiffe://mesh/greedy").await;
            for _ in 0..4 {
                greedy.send(&connection, "ignored");
            }
        }
        until(|| stalled.lists() + greedy.rejected() == 80).await;
        let share = in_flight(64).limit(0);
        assert_eq!(stalled.lists(), share);
        let mut other = Calls::default();
        other.send(&connect("spiffe://mesh/other").await, "ignored");
        until(|| stalled.lists() + other.rejected() == share + 1).await;
        assert_eq!(other.rejected(), 0);
    })
    .await;
}

#[tokio::test]
async fn keys_that_share_a_connection_have_their_own_shares() {
    over_both(async |protocol| {
        for keys in [Keys::Confirmed, Keys::Unconfirmed] {
            let stalled = Stalled::start(protocol).await;
            let gateway = gateway(&stalled, keys).await;
            let shared = connect(&gateway).await;
            let mut greedy = Calls::default();
            for _ in 0..90 {
                greedy.send(&shared, "greedy");
            }
            until(|| stalled.lists() + greedy.rejected() == 90).await;
            let taken = stalled.lists();
            let mut others = Calls::default();
            for other in 0..10 {
                others.send(&shared, &format!("other-{other}"));
            }
            until(|| stalled.lists() + others.rejected() == taken + 10).await;
            assert_eq!(others.rejected(), 0, "the first key holds {taken}");
        }
    })
    .await;
}

#[tokio::test]
async fn keys_that_are_not_confirmed_share_what_their_connection_gets() {
    let stalled = Stalled::start(Protocol::Http1).await;
    let gateway = gateway(&stalled, Keys::Unconfirmed).await;
    let connection = connect(&gateway).await;
    let mut calls = Calls::default();
    for key in 0..90 {
        calls.send(&connection, &format!("junk-{key}"));
    }
    until(|| stalled.lists() + calls.rejected() == 90).await;
    assert_eq!(stalled.lists(), in_flight(64).limit(0));
    let other = connect(&gateway).await;
    calls.send(&other, KEY);
    until(|| stalled.lists() + calls.rejected() == 91).await;
    assert_eq!(stalled.lists(), in_flight(64).limit(0) + 1);
}

#[tokio::test]
async fn each_connection_gets_the_rpcs_in_flight_of_the_formula() {
    const IN_FLIGHT: u16 = 16;
    const ASKED: usize = 20;

    let share = in_flight(usize::from(IN_FLIGHT));
    let reactions = vec![vec![Step::Stall]];
    let fake = Fake::playing(Script { reactions, ..Script::default() }).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    let gateway = Gateway::with(
        &fake,
        &[
            "--max-in-flight",
            &IN_FLIGHT.to_string(),
            "--auth-mode",
            "static",
            "--partner-key-file",
            file.path().to_str().unwrap(),
        ],
    )
    .await;
    let path = format!("/{SERVICE}/ListPartnerSharedConnections");
    let headers = rpc(&path, &[]);
    let body = caller::frame(&list_request().encode_to_vec());
    let mut peers = Vec::new();
    let mut all = 0;
    while all < usize::from(IN_FLIGHT) {
        let allowed = share.limit(all);
        assert!(allowed > 0, "{all} are in flight");
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in (1..).step_by(2).take(ASKED) {
            peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
            peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
        }
        for _ in allowed..ASKED {
            let is_rejection = |frame: &Frame| frame.kind == HEADERS;
            timeout(LONG, peer.reader.find(is_rejection)).await.unwrap().unwrap();
        }
        all += allowed;
        until(|| fake.seen().len() == all).await;
        peers.push(peer);
    }
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted);
    drop(peers);
    until(|| fake.deserted() == u64::from(IN_FLIGHT)).await;
}
