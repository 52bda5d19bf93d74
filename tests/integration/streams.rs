//! Streams: each connection of a list as a message, while the list still arrives.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use polytomic_gateway::proto::{
    StreamPartnerSharedConnectionsResponse as Shared,
    partner_shared_connections_service_client::PartnerSharedConnectionsServiceClient as Client,
};
use prost::Message;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Streaming, metadata::MetadataValue};

use kit::{
    Caller, Fake, Gateway, HANG_GUARD, Origin, Protocol,
    caller::{KEY, Reply, STREAM, frame, stream_request},
    fake::{JSON, Response, Script, Step},
    frames::{
        self, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, SETTINGS,
        WINDOW_UPDATE, frame as h2_frame, request,
    },
    log::Log,
    origin::{self, Parts},
    over_both, until,
};

/// Returns a connection as JSON.
fn connection(number: usize) -> String {
    format!(r#"{{"id":"{number}","name":"a connection","policies":[],"extra":[{{}}]}}"#)
}

/// Returns a list of connections as JSON.
fn list(length: usize) -> String {
    let all: Vec<_> = (0..length).map(connection).collect();
    format!(r#"{{"data":[{}]}}"#, all.join(","))
}

/// Starts an upstream that responds to the first request with parts that the test sends.
async fn upstream(protocol: Protocol) -> (Parts, Origin) {
    let (parts, taken) = origin::parts();
    let taken = Arc::new(Mutex::new(Some(taken)));
    let respond = move |_| {
        let taken = taken.lock().unwrap().take().expect("one request");
        async move { origin::json_in_parts(taken) }
    };
    (parts, Origin::start(protocol, respond).await)
}

/// Calls the RPC with a generated client.
async fn call(gateway: &Gateway) -> Streaming<Shared> {
    let mut request = Request::new(stream_request());
    let key = MetadataValue::try_from(format!("Bearer {KEY}")).unwrap();
    request.metadata_mut().insert("authorization", key);
    let mut client = Client::new(gateway.channel().await);
    let stream = client.stream_partner_shared_connections(request);
    timeout(HANG_GUARD, stream).await.unwrap().unwrap().into_inner()
}

async fn next(stream: &mut Streaming<Shared>) -> Option<String> {
    let message = timeout(HANG_GUARD, stream.message()).await.unwrap().unwrap();
    message.map(|message| message.connection.unwrap().id.unwrap())
}

async fn send(parts: &Parts, text: &str) {
    timeout(HANG_GUARD, parts.send(text.to_owned().into())).await.unwrap().unwrap();
}

/// Returns a response whose body is longer than what is sent of it.
fn head() -> Step {
    let length = ("content-length", "100000");
    Step::Head(Response::new(200, &[JSON[0], length], b""))
}

fn data(text: &str) -> Step {
    Step::Data(text.as_bytes().to_vec())
}

/// Starts a gateway on an upstream that reacts to each request in the same way.
async fn playing(protocol: Protocol, reaction: Vec<Step>) -> (Fake, Gateway) {
    let fake = Fake::playing(Script::new(protocol, vec![reaction])).await;
    let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
    (fake, gateway)
}

#[tokio::test]
async fn message_is_sent_while_the_list_still_arrives() {
    over_both(async |protocol| {
        let (parts, origin) = upstream(protocol).await;
        let gateway = Gateway::on_origin(&origin, &["--no-key-check"]).await;
        let calling = tokio::spawn(async move {
            let stream = call(&gateway).await;
            (stream, gateway)
        });
        let first = connection(0);
        let (start, end) = first.split_at(20);
        send(&parts, r#"{"data":["#).await;
        send(&parts, start).await;
        assert!(!calling.is_finished());
        send(&parts, end).await;
        let (mut stream, _gateway) = calling.await.unwrap();
        assert_eq!(next(&mut stream).await.as_deref(), Some("0"));

        // The end of an element is enough, with or without the comma behind it.
        send(&parts, &format!(",{}", connection(1))).await;
        assert_eq!(next(&mut stream).await.as_deref(), Some("1"));
        send(&parts, &format!(",{},{}", connection(2), connection(3))).await;
        assert_eq!(next(&mut stream).await.as_deref(), Some("2"));
        assert_eq!(next(&mut stream).await.as_deref(), Some("3"));
        send(&parts, "]}").await;
        drop(parts);
        assert_eq!(next(&mut stream).await, None);
    })
    .await;
}

#[tokio::test]
async fn stream_has_the_messages_of_the_list() {
    over_both(async |protocol| {
        for length in [0, 1, 3000] {
            let body = list(length);
            let fake = Fake::json_over(protocol, 200, &body).await;
            let gateway = Gateway::on(&fake).await;
            let list = Caller::list(gateway.address).send().await;
            let fake = Fake::json_over(protocol, 200, &body).await;
            let gateway = Gateway::on(&fake).await;
            let stream = Caller::stream(gateway.address).send().await;
            assert_eq!(stream.code(), Code::Ok, "{}", stream.message());
            assert_eq!(stream.messages().len(), length);
            // The parts of a repeated field are fields of their own.
            assert_eq!(stream.messages().concat(), list.body[5..]);
            assert_eq!(fake.only().line.split(' ').next(), Some("GET"));
            assert!(stream.headers.contains_key("x-request-id"));
            assert_eq!(stream.trailers["grpc-status"], "0");
        }
    })
    .await;
}

#[tokio::test]
async fn empty_lists_are_ok_without_a_message() {
    over_both(async |protocol| {
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"data":null}"#),
            (200, r#" {"next":"x", "data": [ ] } "#),
            (204, ""),
        ] {
            let fake = Fake::json_over(protocol, status, body).await;
            let gateway = Gateway::on(&fake).await;
            let reply = Caller::stream(gateway.address).send().await;
            assert_eq!(reply.code(), Code::Ok, "{body}: {}", reply.message());
            assert!(reply.body.is_empty(), "{body}");
        }
    })
    .await;
}

/// Asserts that a stream fails as a list does, after as many messages.
fn assert_fails_as(stream: &Reply, list: &Reply, messages: usize, case: &str) {
    assert_ne!(list.code(), Code::Ok, "{case}");
    assert_eq!(stream.code(), list.code(), "{case}");
    assert_eq!(stream.message(), list.message(), "{case}");
    assert_eq!(stream.reason(), list.reason(), "{case}");
    for key in ["outcome", "retryable", "attempts"] {
        assert_eq!(stream.error_metadata(key), list.error_metadata(key), "{case}: {key}");
    }
    assert_eq!(stream.messages().len(), messages, "{case}");
    let has_trailers_only = !stream.trailers.contains_key("content-type");
    assert_eq!(has_trailers_only, messages > 0, "{case}");
}

#[tokio::test]
async fn body_that_is_wrong_fails_the_stream_as_it_fails_a_list() {
    over_both(async |protocol| {
        let two = [connection(0), connection(1)].join(",");
        for (case, body, messages) in [
            ("nothing", String::new(), 0),
            ("half an element", format!(r#"{{"data":[{two},{{"id":"2"#), 2),
            ("no end", format!(r#"{{"data":[{two}]"#), 2),
            ("text behind the end", format!(r#"{{"data":[{two}]}} more"#), 2),
            ("a wrong element", format!(r#"{{"data":[{two},{{"id":7}}]}}"#), 2),
            ("a null element", format!(r#"{{"data":[{two},null]}}"#), 2),
            ("two lists", format!(r#"{{"data":[{two}],"data":[]}}"#), 2),
            ("a first element that is wrong", r#"{"data":[7]}"#.to_owned(), 0),
            ("an error", r#"{"error":"secret"}"#.to_owned(), 0),
            ("html", "<html>".to_owned(), 0),
        ] {
            let response = Response::new(200, JSON, body.as_bytes());
            let (_fake, gateway) = playing(protocol, vec![Step::Respond(response)]).await;
            let list = Caller::list(gateway.address).send().await;
            let stream = Caller::stream(gateway.address).send().await;
            assert_eq!(list.reason(), "UPSTREAM_BAD_RESPONSE", "{case}");
            assert_fails_as(&stream, &list, messages, case);
        }
    })
    .await;
}

#[tokio::test]
async fn body_that_breaks_fails_the_stream_as_it_fails_a_list() {
    over_both(async |protocol| {
        let two = format!(r#"{{"data":[{},{},"#, connection(0), connection(1));
        let wrong = r#"{"data":[{"id":1},"#;
        for (text, messages) in [(&*two, 2), (r#"{"data":["#, 0), (wrong, 0)] {
            for end in [Step::Close, Step::Reset] {
                let case = format!("{end:?} after {messages}");
                // A pause, so that a reset does not overtake the data.
                let pause = Step::Pause(Duration::from_millis(20));
                let reaction = vec![head(), data(text), pause, end];
                let (_fake, gateway) = playing(protocol, reaction).await;
                let list = Caller::list(gateway.address).send().await;
                let stream = Caller::stream(gateway.address).send().await;
                assert_eq!(list.reason(), "UPSTREAM_RESET", "{case}");
                assert_eq!(list.error_metadata("outcome").as_deref(), Some("COMPLETED"));
                assert_fails_as(&stream, &list, messages, &case);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn error_response_fails_the_stream_before_it_begins() {
    over_both(async |protocol| {
        for status in [400, 403, 404, 429, 500, 503] {
            let response = Response::json(status, r#"{"key":"k","message":"no"}"#);
            let (_fake, gateway) = playing(protocol, vec![Step::Respond(response)]).await;
            let list = Caller::list(gateway.address).send().await;
            let stream = Caller::stream(gateway.address).send().await;
            assert_fails_as(&stream, &list, 0, &status.to_string());
        }
    })
    .await;
}

#[tokio::test]
async fn stream_is_retried_only_before_its_first_message() {
    over_both(async |protocol| {
        let pause = Step::Pause(Duration::from_millis(20));
        for (text, messages, requests) in [
            (r#"{"data":[{"id":"#, 1, 2),
            (r#"{"data":[{"id":1},"#, 1, 2),
            (r#"{"data":[{"id":"1"},"#, 1, 1),
        ] {
            let broken = vec![head(), data(text), pause.clone(), Step::Close];
            let whole = vec![Step::Respond(Response::json(200, &list(1)))];
            let script = Script::new(protocol, vec![broken, whole]);
            let fake = Fake::playing(script).await;
            let gateway = Gateway::on(&fake).await;
            let reply = Caller::stream(gateway.address).send().await;
            let code = if requests == 2 { Code::Ok } else { Code::Unavailable };
            assert_eq!(reply.code(), code, "{}", reply.message());
            assert_eq!(reply.messages().len(), messages);
            assert_eq!(fake.seen().len(), requests);
        }
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_ready_together_are_sent_together() {
    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, &list(200)).await;
        let gateway = Gateway::on(&fake).await;
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        let message = stream_request().encode_to_vec();
        peer.send(&request(1, STREAM, KEY, &message)).await.unwrap();
        let mut data = 0;
        loop {
            let next = peer.reader.find(|frame| frame.stream == 1);
            let frame = timeout(HANG_GUARD, next).await.unwrap().unwrap();
            data += usize::from(frame.kind == DATA);
            if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        // The body arrives in one or a few chunks.
        assert!(data <= 10, "{data} frames for 200 messages");
    })
    .await;
}

/// Requests a stream as a client whose window for it has this many bytes.
async fn peer_with_window(gateway: &Gateway, window: u32) -> Peer {
    let mut peer = Peer::greet(gateway.address).await.unwrap();
    let initial = [&[0, 4][..], &window.to_be_bytes()].concat();
    peer.send(&h2_frame(SETTINGS, 0, 0, &initial)).await.unwrap();
    let message = stream_request().encode_to_vec();
    peer.send(&request(1, STREAM, KEY, &message)).await.unwrap();
    peer
}

#[tokio::test]
async fn client_that_does_not_read_stops_the_upstream() {
    const PART: usize = 64 * 1024;
    /// What the gateway holds, and the buffers of two sockets on the way.
    const MOST: usize = 2 << 20;

    over_both(async |protocol| {
        let (parts, origin) = upstream(protocol).await;
        let gateway = Gateway::on_origin(&origin, &["--no-key-check"]).await;
        let _deaf = peer_with_window(&gateway, 0).await;
        send(&parts, r#"{"data":["#).await;
        let part: Bytes = format!("{},", connection(0)).repeat(PART / 70).into();
        let mut sent = 0;
        // If this wait is too short on a busy machine, the test only sees less.
        while timeout(Duration::from_secs(2), parts.send(part.clone())).await.is_ok() {
            sent += part.len();
            assert!(sent < MOST, "the gateway reads ahead");
        }
        assert!(sent > 0);
    })
    .await;
}

#[tokio::test]
async fn client_that_never_reads_ends_its_request() {
    over_both(async |protocol| {
        let reaction = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Stall];
        let fake = Fake::playing(Script::new(protocol, vec![reaction])).await;
        let flags = ["--write-timeout", "1", "--max-connection-age-grace", "1"];
        let gateway = Gateway::with(&fake, &flags).await;
        let _deaf = peer_with_window(&gateway, 0).await;
        until(|| fake.deserted() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn client_that_reads_slowly_gets_the_whole_stream() {
    /// Bytes of a read. A piece of 64 KiB takes 3 s, and waits for the one before it.
    const READ: u32 = 1024;

    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, &list(4_000)).await;
        let flags = [
            "--write-timeout",
            "1",
            "--max-connection-age-grace",
            "0.2",
            "--timeout",
            "1",
        ];
        let gateway = Gateway::with(&fake, &flags).await;
        let mut slow = peer_with_window(&gateway, 0).await;
        let started = Instant::now();
        let mut read = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            for stream in [0, 1] {
                let more = READ.to_be_bytes();
                slow.send(&h2_frame(WINDOW_UPDATE, 0, stream, &more)).await.unwrap();
            }
            let part = slow.reader.find(|frame: &Frame| {
                assert_eq!(frame.goaway(), None, "after {:?}", started.elapsed());
                frame.stream == 1 && (frame.kind == DATA || frame.flags & END_STREAM != 0)
            });
            let part = timeout(HANG_GUARD, part).await.unwrap().expect("it is not ended");
            if part.kind == HEADERS {
                break;
            }
            read += part.payload.len();
        }
        assert!(read > 100_000, "{read} bytes");
        assert!(started.elapsed() > Duration::from_secs(3));
    })
    .await;
}

#[tokio::test]
async fn cancelled_stream_ends_its_request() {
    over_both(async |protocol| {
        let log = Log::keep();
        let two = format!(r#"{{"data":[{},{},"#, connection(0), connection(1));
        let reaction = vec![head(), data(&two), Step::Stall];
        let (fake, gateway) = playing(protocol, reaction).await;
        let mut stream = call(&gateway).await;
        assert_eq!(next(&mut stream).await.as_deref(), Some("0"));
        assert_eq!(next(&mut stream).await.as_deref(), Some("1"));
        assert!(log.rpcs().is_empty(), "the line comes at the end");
        assert_eq!(fake.deserted(), 0);
        drop(stream);
        until(|| fake.deserted() == 1).await;
        let line = log.rpc().await;
        assert_eq!(line["code"], "Cancelled", "{line}");
        assert_eq!(line["messages"], 2, "{line}");
        assert_eq!(line["http_status"], 200, "{line}");
        assert_eq!(log.rpcs().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn line_of_a_stream_counts_its_messages() {
    over_both(async |protocol| {
        let broken = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Close];
        let whole = |length| vec![Step::Respond(Response::json(200, &list(length)))];
        for (reaction, messages, code) in [
            (whole(0), Some(0), "Ok"),
            (whole(700), Some(700), "Ok"),
            (broken, Some(1), "Unavailable"),
            (vec![Step::Respond(Response::json(404, "{}"))], None, "NotFound"),
        ] {
            let log = Log::keep();
            let (_fake, gateway) = playing(protocol, reaction).await;
            Caller::stream(gateway.address).send().await;
            let line = log.rpc().await;
            assert_eq!(line["code"], code, "{line}");
            assert_eq!(line.get("messages").and_then(Value::as_u64), messages, "{line}");
            assert_eq!(line["rpc"], STREAM);
            assert_eq!(log.rpcs().len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn deadline_of_the_client_covers_the_whole_stream() {
    over_both(async |protocol| {
        let reaction = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Stall];
        let (fake, gateway) = playing(protocol, reaction).await;
        let stream =
            Caller::stream(gateway.address).with("grpc-timeout", "1S").send().await;
        assert_eq!(stream.code(), Code::DeadlineExceeded);
        assert_eq!(stream.reason(), "DEADLINE_EXCEEDED");
        assert_eq!(stream.messages().len(), 1);
        until(|| fake.deserted() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn deadline_frees_the_upstream_of_a_client_that_does_not_read() {
    over_both(async |protocol| {
        let reaction = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Stall];
        let (fake, gateway) = playing(protocol, reaction).await;
        let mut deaf = Peer::greet(gateway.address).await.unwrap();
        deaf.send(&h2_frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.unwrap();
        let authorization = format!("Bearer {KEY}");
        let metadata = [("authorization", &*authorization), ("grpc-timeout", "1S")];
        let headers = frames::rpc(STREAM, &metadata);
        deaf.send(&h2_frame(HEADERS, END_HEADERS, 1, &headers)).await.unwrap();
        let message = frame(&stream_request().encode_to_vec());
        deaf.send(&h2_frame(DATA, END_STREAM, 1, &message)).await.unwrap();
        until(|| fake.deserted() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn silent_upstream_ends_the_stream() {
    over_both(async |protocol| {
        let reaction = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Stall];
        let fake = Fake::playing(Script::new(protocol, vec![reaction])).await;
        let flags = ["--read-timeout", "0.5", "--attempts", "1"];
        let gateway = Gateway::with(&fake, &flags).await;
        let list = Caller::list(gateway.address).send().await;
        let stream = Caller::stream(gateway.address).send().await;
        assert_eq!(list.reason(), "UPSTREAM_TIMEOUT");
        assert_fails_as(&stream, &list, 1, "silence");
    })
    .await;
}

#[tokio::test]
async fn default_timeout_does_not_end_a_stream_that_makes_progress() {
    over_both(async |protocol| {
        let mut reaction = vec![head(), data(r#"{"data":[{"id":"0"}"#)];
        for number in 1..=10 {
            reaction.push(Step::Pause(Duration::from_millis(200)));
            reaction.push(data(&format!(r#",{{"id":"{number}"}}"#)));
        }
        reaction.push(Step::Stall);
        for (flags, ends_early) in [
            (&["--timeout", "1", "--read-timeout", "1"][..], false),
            (
                &["--timeout", "60", "--rpc-timeout", "StreamPartnerSharedConnections=1"],
                true,
            ),
        ] {
            let script = Script::new(protocol, vec![reaction.clone()]);
            let fake = Fake::playing(script).await;
            let gateway = Gateway::with(&fake, flags).await;
            let reply = Caller::stream(gateway.address).send().await;
            // The upstream is silent after the last message.
            let reason =
                if ends_early { "STREAM_TIME_LIMIT" } else { "UPSTREAM_TIMEOUT" };
            assert_eq!(reply.reason(), reason);
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("COMPLETED"));
            let messages = reply.messages().len();
            assert_eq!(messages < 11, ends_early, "{messages} messages");
        }
    })
    .await;
}

#[tokio::test]
async fn drain_lets_a_stream_end() {
    over_both(async |protocol| {
        let (parts, origin) = upstream(protocol).await;
        let gateway = Gateway::on_origin(&origin, &["--no-key-check"]).await;
        let mut stream = {
            let calling = call(&gateway);
            let sending = send(&parts, r#"{"data":[{"id":"1"},"#);
            tokio::join!(calling, sending).0
        };
        assert_eq!(next(&mut stream).await.as_deref(), Some("1"));
        let stopping = tokio::spawn(gateway.stop());
        send(&parts, r#"{"id":"2"}]}"#).await;
        drop(parts);
        assert_eq!(next(&mut stream).await.as_deref(), Some("2"));
        assert_eq!(next(&mut stream).await, None);
        drop(stream);
        timeout(HANG_GUARD, stopping).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn limit_of_bytes_is_that_of_an_element() {
    const LIMIT: usize = 64 * 1024;

    let limit = LIMIT.to_string();
    over_both(async |protocol| {
        let element = |bytes: usize| format!(r#"{{"name":"{}"}}"#, "n".repeat(bytes));
        let many = format!(r#"{{"data":[{}]}}"#, vec![element(LIMIT / 4); 20].join(","));
        let one = |bytes| format!(r#"{{"data":[{{}},{}]}}"#, element(bytes));
        for (body, messages, code) in [
            (many, 20, Code::Ok),
            (one(LIMIT - 1000), 2, Code::Ok),
            (one(4 * LIMIT), 1, Code::ResourceExhausted),
        ] {
            let fake = Fake::json_over(protocol, 200, &body).await;
            let gateway = Gateway::with(&fake, &["--answer-limit", &limit]).await;
            let reply = Caller::stream(gateway.address).send().await;
            assert_eq!(reply.code(), code, "{}", reply.message());
            assert_eq!(reply.messages().len(), messages);
            if code != Code::Ok {
                assert_eq!(reply.reason(), "UPSTREAM_RESPONSE_TOO_LARGE");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn request_of_a_stream_is_checked() {
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    let reply = Caller::stream(gateway.address).body(frame(b"")).send().await;
    assert_eq!(reply.code(), Code::InvalidArgument);
    assert_eq!(reply.violations(), ["org_id", "connection_id"]);
}

#[tokio::test]
async fn stream_that_finds_no_memory_is_not_sent() {
    // Enough for one stream, and for none.
    for (memory, begins, reason) in [
        ("4194304", 1, "GATEWAY_OVERLOADED"),
        ("2097152", 0, "UPSTREAM_RESPONSE_EXCEEDS_MEMORY"),
    ] {
        over_both(async |protocol| {
            let reaction = vec![head(), data(r#"{"data":[{"id":"1"},"#), Step::Stall];
            let fake = Fake::playing(Script::new(protocol, vec![reaction])).await;
            let flags = ["--answer-memory", memory, "--answer-limit", "65536"];
            let gateway = Gateway::with(&fake, &flags).await;
            let mut streams = Vec::new();
            for _ in 0..begins {
                streams.push(call(&gateway).await);
            }
            let late = Caller::stream(gateway.address).send().await;
            assert_eq!(late.code(), Code::ResourceExhausted, "{}", late.message());
            assert_eq!(late.reason(), reason);
            assert_eq!(late.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
            assert_eq!(fake.seen().len(), begins);
        })
        .await;
    }
}

/// On threads, so that a large element is made where the runtime moves other tasks away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_elements_are_those_of_the_list() {
    let text = format!(r#"{{"name":"{}"}}"#, "n".repeat(1 << 20));
    // Two bytes of JSON are eleven of a Struct.
    let numbers = format!(r#"{{"configuration":{{"n":[{}0]}}}}"#, "0,".repeat(1 << 18));
    let elements = [&connection(0), &text, &connection(1), &numbers, &connection(2)];
    let body = format!(r#"{{"data":[{}]}}"#, elements.map(String::as_str).join(","));
    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, &body).await;
        let gateway = Gateway::on(&fake).await;
        let list = Caller::list(gateway.address).send().await;
        let fake = Fake::json_over(protocol, 200, &body).await;
        let gateway = Gateway::on(&fake).await;
        let stream = Caller::stream(gateway.address).send().await;
        assert_eq!(stream.code(), Code::Ok, "{}", stream.message());
        assert_eq!(stream.messages().len(), elements.len());
        assert!(stream.messages().concat() == list.body[5..], "other bytes");
    })
    .await;
}
