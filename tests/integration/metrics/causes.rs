//! What moves the metrics that no table of RPCs does.

use kit::{
    CredentialFiles,
    caller::{KEY, Reply},
    frames::{PREFACE, Peer, SETTINGS},
    held::Held,
};
use polytomic_gateway::contract::DESCRIPTOR_SET;
use tonic::Code;

use super::{
    requests::{LIST_ENDED, respond},
    *,
};

/// Sends a request to an RPC that is not of the contract.
async fn other(gateway: &Gateway, path: &str, body: &[u8]) -> Reply {
    Caller::list(gateway.address).path(path).body(body.to_vec()).send().await
}

#[tokio::test]
async fn health_and_reflection_are_counted_by_their_names() {
    let two = [frame(b"\x3a\0"), frame(b"\x3a\0")].concat();
    for (kind, name, code, received, sent, body) in [
        ("unary", "grpc.health.v1.Health Check", "OK", 1, 1, frame(b"")),
        ("unary", "grpc.health.v1.Health Check", "NotFound", 1, 0, frame(b"\x0a\x01x")),
        ("unary", "grpc.health.v1.Health List", "OK", 1, 1, frame(b"")),
        (
            "bidi_stream",
            "grpc.reflection.v1.ServerReflection ServerReflectionInfo",
            "OK",
            2,
            2,
            two.clone(),
        ),
        (
            "bidi_stream",
            "grpc.reflection.v1alpha.ServerReflection ServerReflectionInfo",
            "OK",
            2,
            2,
            two,
        ),
        (
            "bidi_stream",
            "grpc.reflection.v1.ServerReflection ServerReflectionInfo",
            "InvalidArgument",
            2,
            1,
            [frame(b"\x3a\0"), frame(b"\xff")].concat(),
        ),
    ] {
        let gateway = Gateway::on_sandbox().await;
        let before = values(&gateway.metrics());
        let reply = other(&gateway, &format!("/{}", name.replace(' ', "/")), &body).await;
        let of = |family: &str| format!("grpc_server_{family} {kind} {name}");
        let handled = format!("{} {code}", of("handled_total"));
        let changes = [
            ("gateway_connections_accepted_total".to_owned(), 1),
            (of("started_total"), 1),
            (of("handling_seconds_count"), 1),
            (handled, 1),
            (of("msg_received_total"), received),
            (of("msg_sent_total"), sent),
            (
                "gateway_failures_total INVALID_MESSAGE".to_owned(),
                i64::from(code == "InvalidArgument"),
            ),
        ];
        let changes: Vec<_> = changes
            .iter()
            .filter(|(_, change)| *change != 0)
            .map(|(series, change)| (&**series, *change))
            .collect();
        await_changes(name, &gateway.metrics(), &before, &changes).await;
        drop(reply);
    }
}

#[tokio::test]
async fn client_that_goes_away_cancels() {
    over_both(async |protocol| {
        let fake = Fake::playing(Script::new(protocol, vec![vec![Step::Stall]])).await;
        let gateway = Gateway::on(&fake).await;
        let before = values(&gateway.metrics());
        let rpc = tokio::spawn(Caller::list(gateway.address).send());
        until(|| fake.seen().len() == 1).await;
        rpc.abort();
        let changes = [
            ("grpc_server_handled_total unary Lists Canceled", 1),
            ("gateway_failures_total CANCELLED", 1),
            ("http_client_request_duration_seconds_count GET shared cancelled", 1),
        ];
        let changes = [&LIST_ENDED[..], &changes].concat();
        await_changes("a cancel", &gateway.metrics(), &before, &changes).await;
    })
    .await;
}

#[tokio::test]
async fn upstream_that_is_not_there_is_a_failure_to_connect() {
    let gone = Held::start().await.url();
    let gateway = Gateway::at(&gone, &["--attempts", "1"]).await;
    let before = values(&gateway.metrics());
    Caller::list(gateway.address).send().await;
    let changes = [
        ("grpc_server_handled_total unary Lists Unavailable", 1),
        ("gateway_failures_total UPSTREAM_CONNECT_FAILED", 1),
        ("http_client_request_duration_seconds_count GET shared connect", 1),
    ];
    let changes = [&LIST_ENDED[..], &changes].concat();
    await_changes("no upstream", &gateway.metrics(), &before, &changes).await;
}

#[tokio::test]
async fn circuit_that_opens_is_counted_with_what_it_stops() {
    over_both(async |protocol| {
        let script = Script::new(protocol, vec![respond(503, "{}")]);
        let fake = Fake::playing(script).await;
        let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
        let mut stopped = 0;
        while stopped < 3 {
            let reply = Caller::list(gateway.address).send().await;
            stopped += i64::from(reply.reason() == "CIRCUIT_OPEN");
        }
        let values = values(&gateway.metrics());
        assert_eq!(values["gateway_circuits_refused_total key"], stopped);
        assert_eq!(values["gateway_failures_total CIRCUIT_OPEN"], stopped);
        assert_eq!(values["gateway_circuits_opened_total key"], 1);
        assert_eq!(values["gateway_circuits_open key"], 1);
        for circuit in ["path", "all"] {
            for family in ["opened_total", "refused_total", "open"] {
                let series = format!("gateway_circuits_{family} {circuit}");
                assert_eq!(values[&series], 0, "{series}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn budget_has_what_is_used_and_what_it_refuses() {
    let held = Held::start().await;
    let gateway = Gateway::at(&held.url(), &["--max-in-flight", "1"]).await;
    let before = values(&gateway.metrics());
    assert_eq!(before["gateway_budget_limit in_flight"], 1);
    let first = tokio::spawn(Caller::list(gateway.address).send());
    let mut request = held.request().await;
    let reply = Caller::list(gateway.address).send().await;
    assert_eq!(reply.code(), Code::ResourceExhausted);
    let now = values(&gateway.metrics());
    assert_eq!(now["gateway_budget_refused_total in_flight"], 1);
    assert_eq!(now["gateway_failures_total GATEWAY_OVERLOADED"], 1);
    assert_eq!(now["gateway_budget_used in_flight"], 1);
    assert_eq!(now["gateway_budget_used open_rpcs"], 1);
    assert!(now["gateway_budget_used_bytes response_memory"] >= 4096);
    request.answer().await;
    assert_eq!(first.await.unwrap().code(), Code::Ok);
    until(|| {
        let now = values(&gateway.metrics());
        let used = |(series, value): (&String, &i64)| {
            !series.contains("_used") || before[series] == *value
        };
        now.iter().all(used)
    })
    .await;
}

#[tokio::test]
async fn cache_of_keys_has_what_it_knew() {
    let me = r#"{"data":{"organization_id":"one","is_partner":true}}"#;
    let script = Script {
        look_up: Some(respond(200, me)),
        ..Script::new(Protocol::Http1, vec![vec![Step::Answer]])
    };
    let fake = Fake::playing(script).await;
    let gateway = Gateway::checking_keys_on(&fake, &[]).await;
    let before = values(&gateway.metrics());
    for _ in 0..3 {
        assert_eq!(Caller::list(gateway.address).send().await.code(), Code::Ok);
    }
    let now = values(&gateway.metrics());
    let changed = |series: &str| now[series] - before.get(series).unwrap_or(&0);
    assert_eq!(changed("gateway_auth_cache_requests_total miss"), 1);
    assert_eq!(changed("gateway_auth_cache_requests_total hit"), 2);
    for result in ["shared", "skipped", "negative"] {
        let series = format!("gateway_auth_cache_requests_total {result}");
        assert_eq!(changed(&series), 0, "{series}");
    }
    assert_eq!(changed("gateway_auth_look_ups_total"), 1);
    assert_eq!(changed("gateway_auth_look_ups_failed_total"), 0);
    let look_up = "http_client_request_duration_seconds_count GET /api/me 200";
    assert_eq!(changed(look_up), 1);
}

#[tokio::test]
async fn credential_file_has_its_reloads() {
    let files = CredentialFiles::new(KEY, "the-caller-token");
    let fake = Fake::json(200, "{}").await;
    let flags = [&fake.flags()[..], &["--no-key-check"], &files.flags()].concat();
    let gateway = Gateway::start(kit::settings(&flags), DESCRIPTOR_SET).await;
    let before = values(&gateway.metrics());
    files.put_key("another-key");
    gateway.reload().await;
    files.put_key("two\nlines");
    gateway.reload().await;
    gateway.reload().await;
    let changes = [
        ("gateway_credential_file_reloads_total partner_key changed", 1),
        ("gateway_credential_file_reloads_total partner_key failed", 2),
    ];
    await_changes("reloads", &gateway.metrics(), &before, &changes).await;
}

#[tokio::test]
async fn connection_that_is_not_served_has_its_reason() {
    for (reason, bytes) in [
        ("wrong_protocol", &b"GET / HTTP/1.1\r\n\r\n"[..]),
        // A frame of settings on a stream: an error of the connection.
        ("http2", &[PREFACE, b"\0\0\0\x04\0\0\0\0\x01"].concat()),
    ] {
        let gateway = Gateway::on_sandbox().await;
        let before = values(&gateway.metrics());
        let mut peer = Peer::connect(gateway.address).await.unwrap();
        peer.send(bytes).await.unwrap();
        let rejected = format!("gateway_connections_rejected_total {reason}");
        let changes = [("gateway_connections_accepted_total", 1), (&rejected, 1)];
        await_changes(reason, &gateway.metrics(), &before, &changes).await;
    }
    for (flag, reason) in [
        ("--max-connections", "connection_limit"),
        ("--max-connections-per-address", "address_limit"),
    ] {
        let gateway = Gateway::on_sandbox_with(&["--no-key-check", flag, "1"]).await;
        let (connection, _driver) = Connection::open(gateway.address).await.unwrap();
        let body = frame(&list_request().encode_to_vec());
        connection.call(LIST, METADATA, body).await.unwrap();
        let before = values(&gateway.metrics());
        assert_eq!(before["gateway_connections_open"], 1);
        let mut late = Peer::connect(gateway.address).await.unwrap();
        // It may be closed already.
        let _ = late.send(PREFACE).await;
        let rejected = format!("gateway_connections_rejected_total {reason}");
        await_changes(reason, &gateway.metrics(), &before, &[(&rejected, 1)]).await;
        drop(connection);
    }
}

#[tokio::test]
async fn connection_that_is_told_to_end_has_its_reason() {
    for (reason, flags) in [
        ("age", ["--max-connection-age", "0.2"]),
        ("unused", ["--max-connection-idle", "0.2"]),
    ] {
        let gateway = Gateway::on_sandbox_with(&flags).await;
        let before = values(&gateway.metrics());
        let mut peer = Peer::greet(gateway.address).await.unwrap();
        peer.reader.find(|frame| frame.kind == SETTINGS).await.unwrap();
        let goaway = format!("gateway_goaways_total {reason}");
        let is_told = || values(&gateway.metrics())[&goaway] == 1;
        until(is_told).await;
        drop(peer);
        let changes = [("gateway_connections_accepted_total", 1), (&goaway, 1)];
        await_changes(reason, &gateway.metrics(), &before, &changes).await;
    }
}

#[tokio::test]
async fn gateway_has_its_state() {
    const STATES: [&str; 3] = ["serving", "lame_duck", "draining"];

    let held = Held::start().await;
    for (lame_duck, last) in [("3600", "lame_duck"), ("0", "draining")] {
        let gateway = Gateway::at(&held.url(), &["--lame-duck", lame_duck]).await;
        let metrics = gateway.metrics();
        let is = |state: &str| {
            let values = values(&metrics);
            STATES.iter().all(|other| {
                values[&format!("gateway_state {other}")] == i64::from(*other == state)
            })
        };
        assert!(is("serving"));
        let rpc = tokio::spawn(Caller::list(gateway.address).send());
        let mut request = held.request().await;
        let stopping = tokio::spawn(gateway.stop());
        until(|| is(last)).await;
        let goaways = i64::from(last == "draining");
        until(|| values(&metrics)["gateway_goaways_total drain"] == goaways).await;
        request.answer().await;
        assert_eq!(rpc.await.unwrap().code(), Code::Ok);
        if last == "draining" {
            stopping.await.unwrap();
            assert_eq!(values(&metrics)["gateway_connections_open"], 0);
        } else {
            stopping.abort();
        }
    }
}
