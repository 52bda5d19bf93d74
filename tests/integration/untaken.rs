//! Clients that send requests and do not read the responses: what the gateway keeps
//! for them is limited, in bytes and in time, and other clients do not notice.

use std::time::Duration;

use polytomic_gateway::{
    budget::{self, Shares},
    transcode::{SLACK, TURN},
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, pause, sleep, timeout},
};
use tonic::Code;

use kit::{
    Caller, Fake, Gateway,
    caller::{self, ID, KEY, LIST, list_request},
    fake::{Script, Step, answer},
    frames::{
        self, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PREFACE, Peer, SETTINGS,
        WINDOW_UPDATE, frame, rpc,
    },
};

const LONG: Duration = Duration::from_secs(60);

/// About the bytes of a response as JSON.
const LARGE: usize = 1 << 20;

/// Limits that a small number of them reaches.
const LIMITS: budget::Settings = budget::Settings {
    response_memory: 16 << 20,
    max_in_flight: 1024,
    max_connections: 32,
};
const MEMORY: [&str; 6] = [
    "--answer-limit",
    "2097152",
    "--answer-memory",
    "16777216",
    "--max-connections",
    "32",
];

/// A response waits for memory during half of the time.
const SHORT_WAIT: [&str; 2] = ["--timeout", "4"];

/// Bytes that gRPC puts before a message.
const PREFIX: usize = 5;

/// Starts a gateway whose upstream responds to every list with about [`LARGE`] bytes.
async fn gateway(flags: &[&str]) -> (Gateway, Fake) {
    answering(&large(), &[&MEMORY[..], flags].concat()).await
}

async fn answering(body: &str, flags: &[&str]) -> (Gateway, Fake) {
    let answer = answer(200, &[("content-type", "application/json")], body.as_bytes());
    let reactions = vec![vec![Step::Write(answer)]];
    let fake = Fake::playing(Script { reactions, ..Script::default() }).await;
    (Gateway::with(&fake, flags).await, fake)
}

fn large() -> String {
    let one = format!(r#"{{"id":"{ID}","name":"{}"}}"#, "n".repeat(1000));
    let all = vec![one.as_str(); LARGE / one.len()].join(",");
    format!(r#"{{"data":[{all}]}}"#)
}

/// Connects a client that grants each stream a window of `window` bytes.
async fn peer(gateway: &Gateway, window: u32) -> Peer {
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let mut initial_window = vec![0, 4];
    initial_window.extend(window.to_be_bytes());
    peer.send(&frame(SETTINGS, 0, 0, &initial_window)).await.unwrap();
    peer
}

/// Requests a list, and reads the head of the response.
async fn list(peer: &mut Peer, stream: u32) -> Frame {
    request(peer, stream, LIST, &list_request().encode_to_vec()).await
}

async fn request(peer: &mut Peer, stream: u32, path: &str, message: &[u8]) -> Frame {
    let key = format!("Bearer {KEY}");
    let headers = rpc(path, &[("authorization", &key)]);
    peer.send(&frame(HEADERS, END_HEADERS, stream, &headers)).await.unwrap();
    let body = caller::frame(message);
    peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
    let is_head = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
    timeout(LONG, peer.reader.find(is_head)).await.unwrap().unwrap()
}

/// Reports whether data follow the head: an error has none.
fn is_response(head: &Frame) -> bool {
    head.flags & END_STREAM == 0
}

/// Requests lists until one gets no memory. Returns how many got some.
async fn take_all(greedy: &mut Peer) -> usize {
    let mut given = 0;
    while is_response(&list(greedy, 1 + 2 * given).await) {
        given += 1;
    }
    given as usize
}

#[tokio::test]
async fn unread_responses_hold_what_the_formula_allows() {
    let (gateway, _fake) = gateway(&SHORT_WAIT).await;
    let Shares { response_memory, response_unit, response_messages, .. } =
        LIMITS.shares();
    let units = |bytes: usize| bytes.div_ceil(response_unit);
    // Until a response is a message, a part of its JSON is in memory, too.
    let needed = units(LARGE + SLACK + TURN);
    let call = || Caller::list(gateway.address).send();
    for window in [0, 1] {
        let mut peers = Vec::new();
        // The least and the most that others hold of the shared memory: some that wait
        // have their turn, and memory of their own.
        let mut others = (0, 0);
        loop {
            let reply = call().await;
            let limits =
                (response_memory.limit(others.1), response_memory.limit(others.0));
            if reply.code() != Code::Ok {
                assert!(limits.0 < needed);
                assert_eq!(reply.code(), Code::ResourceExhausted);
                assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
                let outcome = reply.error_metadata("outcome");
                assert!(matches!(outcome.as_deref(), Some("NOT_SENT" | "COMPLETED")));
                assert!(reply.details().retry_info().is_some());
                break;
            }
            let kept = units(reply.body.len() - PREFIX);
            let of_turns = response_messages / kept;
            let least = (limits.0 + kept).saturating_sub(needed) / kept;
            let most = limits.1 / kept + of_turns;
            let mut greedy = peer(&gateway, window).await;
            let given = take_all(&mut greedy).await;
            assert!((least..=most).contains(&given), "{given}, others hold {others:?}");
            others.0 += given.saturating_sub(of_turns) * kept;
            others.1 += given * kept;
            peers.push(greedy);
        }
        assert!(!peers.is_empty());

        // A client that disconnects releases its memory.
        drop(peers);
        let answered = async { while call().await.code() != Code::Ok {} };
        timeout(LONG, answered).await.unwrap();
    }
}

#[tokio::test]
async fn response_that_got_no_memory_is_not_requested_again() {
    let (gateway, fake) = gateway(&SHORT_WAIT).await;
    let mut peers = Vec::new();
    let rejected = loop {
        let mut greedy = peer(&gateway, 0).await;
        take_all(&mut greedy).await;
        peers.push(greedy);
        let reply = Caller::list(gateway.address).send().await;
        if reply.code() != Code::Ok {
            break reply;
        }
    };
    assert_eq!(rejected.reason(), "GATEWAY_OVERLOADED");
    let requested = fake.seen().len();
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.reason(), "GATEWAY_OVERLOADED");
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert!(reply.details().retry_info().is_some());
    assert_eq!(fake.seen().len(), requested);
}

#[tokio::test]
async fn message_larger_than_its_json_is_counted_in_full() {
    // Two bytes of JSON are eleven of a Struct.
    let numbers = "1,".repeat(600_000);
    let body =
        format!(r#"{{"data":[{{"id":"{ID}","configuration":{{"n":[{numbers}1]}}}}]}}"#);
    let (gateway, fake) = answering(&body, &MEMORY).await;
    let reply = Caller::list(gateway.address).send().await;
    let reason = "UPSTREAM_RESPONSE_EXCEEDS_MEMORY";
    assert_eq!(reply.reason(), reason, "{}", reply.message());
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("COMPLETED"));
    assert_eq!(fake.seen().len(), 1, "a retry would end the same");
}

#[tokio::test]
async fn response_that_is_read_late_is_whole() {
    let (gateway, _fake) = gateway(&[]).await;
    let mut slow = peer(&gateway, 0).await;
    assert!(is_response(&list(&mut slow, 1).await));
    let mut read = 0;
    let more = 16_384_u32.to_be_bytes();
    loop {
        for stream in [0, 1] {
            slow.send(&frame(WINDOW_UPDATE, 0, stream, &more)).await.unwrap();
        }
        let is_part = |frame: &Frame| frame.stream == 1;
        let part = timeout(LONG, slow.reader.find(is_part)).await.unwrap().unwrap();
        if part.kind == HEADERS {
            break;
        }
        read += part.payload.len();
    }
    let whole = Caller::list(gateway.address).send().await;
    assert_eq!(whole.code(), Code::Ok, "{}", whole.message());
    assert_eq!(read, whole.body.len());
}

#[tokio::test]
async fn connection_that_reads_no_response_is_ended() {
    let flags = ["--write-timeout", "0.5", "--max-connection-age-grace", "0.2"];
    let (gateway, _fake) = gateway(&flags).await;
    let health = "/grpc.health.v1.Health/Check";
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let services = [0x3a, 0];
    for (window, path, message) in
        [(0, "", &[][..]), (1, "", &[]), (0, health, &[]), (0, reflection, &services)]
    {
        let started = Instant::now();
        let mut deaf = peer(&gateway, window).await;
        let head = match path {
            "" => list(&mut deaf, 1).await,
            path => request(&mut deaf, 1, path, message).await,
        };
        assert!(is_response(&head), "{path}");
        // Sooner than a connection whose PINGs get no response.
        let frames = timeout(LONG / 3, deaf.reader.rest()).await.expect("it ends");
        assert!(started.elapsed() >= Duration::from_millis(500));
        let (_, code, _) = frames.iter().find_map(Frame::goaway).expect("a GOAWAY");
        assert_eq!(code, 0, "no error: other RPCs on it may end first");
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    }
}

/// The socket is full all the time, and what waits behind it is more than the client reads
/// in `--write-timeout`.
#[tokio::test]
async fn client_that_reads_slowly_is_not_ended() {
    const LISTS: u32 = 24;
    // More than the system wants free before it has the gateway write again.
    const PIECE: usize = 2 << 20;
    const MAX_WINDOW: u32 = (1 << 31) - 1;

    let flags = ["--write-timeout", "1", "--max-connection-age-grace", "0.2"];
    let (gateway, _fake) = answering(&large(), &flags).await;
    let whole = Caller::list(gateway.address).send().await.body.len();

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(256 << 10).unwrap();
    let mut slow = socket.connect(gateway.address).await.unwrap();
    let initial_window = [&[0, 4][..], &MAX_WINDOW.to_be_bytes()].concat();
    let of_connection = (MAX_WINDOW - 65_535).to_be_bytes();
    let greeting = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &initial_window),
        frame(WINDOW_UPDATE, 0, 0, &of_connection),
    ];
    slow.write_all(&greeting.concat()).await.unwrap();
    let message = list_request().encode_to_vec();
    let lists =
        (0..LISTS).map(|number| frames::request(2 * number + 1, LIST, KEY, &message));
    slow.write_all(&lists.collect::<Vec<_>>().concat()).await.unwrap();

    // The clock now advances only while everything waits, by the next timer.
    pause();
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while read < whole * LISTS as usize {
        sleep(Duration::from_millis(900)).await;
        let rest = (whole * LISTS as usize - read).min(PIECE);
        let reading = slow.read_exact(&mut piece[..rest]).await;
        read += reading.unwrap_or_else(|error| panic!("after {read} bytes: {error}"));
    }
}

#[tokio::test]
async fn each_connection_gets_the_watches_of_the_formula() {
    const STREAMS: usize = 100;

    let gateway = Gateway::on_sandbox().await;
    let check = |path: &str| {
        Caller::list(gateway.address)
            .path(&format!("/grpc.health.v1.Health/{path}"))
            .body(caller::frame(&[]))
    };
    let share = LIMITS.shares().watches;
    let mut peers = Vec::new();
    let mut watches = 0;
    for _ in 0..20 {
        let allowed = share.limit(watches).min(STREAMS);
        let mut given = 0;
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        for stream in (1..).step_by(2).take(STREAMS) {
            let block = rpc("/grpc.health.v1.Health/Watch", &[]);
            peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await.unwrap();
            let body = caller::frame(&[]);
            peer.send(&frame(DATA, END_STREAM, stream, &body)).await.unwrap();
            let is_head = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
            let head = timeout(LONG, peer.reader.find(is_head)).await.unwrap().unwrap();
            given += usize::from(is_response(&head));
        }
        assert_eq!(given, allowed, "others hold {watches} watches");
        watches += given;
        peers.push(peer);
    }
    assert_eq!(check("Check").send().await.code(), Code::Ok);
}
