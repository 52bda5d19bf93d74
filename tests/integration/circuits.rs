//! Whose failures stop whose requests: those of a key its own, and those of several
//! keys all requests.

use std::{cell::Cell, time::Duration};

use kit::{
    Caller, Fake, Gateway, HOST, Protocol,
    caller::{ID, KEY, Reply},
    fake::{Response, Script, Step},
    frames::{GOAWAY, RST_STREAM, SETTINGS, frame},
    over_both,
};
use polytomic_gateway::proto::ListPartnerSharedConnectionsRequest;
use tokio::{net::TcpListener, time::timeout};
use tonic::Code;

/// Longer than any step takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Connections of the sandbox that respond with 502 and 504, and that reset.
const FAILING: [&str; 3] = [
    "00000000-0000-4000-8000-000000000502",
    "00000000-0000-4000-8000-000000000504",
    "00000000-0000-4000-8000-000000000002",
];

async fn list(gateway: &Gateway, key: &str, connection: &str) -> Reply {
    let message = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: connection.to_owned(),
    };
    Caller::new(gateway.address, "ListPartnerSharedConnections", &message)
        .without("authorization")
        .with("authorization", &format!("Bearer {key}"))
        .send()
        .await
}

/// Calls until the circuit is open, and returns the reply that says so.
async fn until_open<F: Future<Output = Reply>>(call: impl Fn() -> F) -> Reply {
    let calls = async {
        loop {
            let reply = call().await;
            assert_ne!(reply.code(), Code::Ok);
            let attempts = reply.error_metadata("attempts");
            if reply.reason() == "CIRCUIT_OPEN" && attempts.as_deref() == Some("0") {
                return reply;
            }
        }
    };
    timeout(LONG, calls).await.expect("the circuit does not open")
}

#[tokio::test]
async fn key_whose_requests_fail_stops_no_other_key() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &[]).await;
        gateway.sandbox().issue("failing", KEY);
        for connection in FAILING {
            let open = until_open(|| list(&gateway, "failing", connection)).await;
            assert_eq!(open.code(), Code::Unavailable);
            assert_eq!(open.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
            assert_eq!(open.error_metadata("circuit").as_deref(), Some("key"));
            assert!(open.message().contains("with this key"), "{}", open.message());
            let details = open.details();
            let wait = details.retry_info().unwrap().retry_delay.unwrap();
            assert!(wait <= Duration::from_secs(30), "{wait:?}");
            // It is the first to call whenever a request may test its circuit.
            for _ in 0..15 {
                assert_ne!(list(&gateway, "failing", connection).await.code(), Code::Ok);
                let other = list(&gateway, KEY, ID).await;
                assert_eq!(other.code(), Code::Ok, "{}", other.message());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn path_that_fails_with_the_gateways_key_stops_no_other_path() {
    over_both(async |protocol| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, KEY).unwrap();
        let flags =
            ["--auth-mode", "static", "--partner-key-file", file.to_str().unwrap()];
        let gateway = Gateway::on_sandbox_over(protocol, &flags).await;
        let open = until_open(|| list(&gateway, "any", FAILING[0])).await;
        assert_eq!(open.error_metadata("circuit").as_deref(), Some("path"));
        for _ in 0..15 {
            assert_ne!(list(&gateway, "any", FAILING[0]).await.code(), Code::Ok);
            let other = list(&gateway, "any", ID).await;
            assert_eq!(other.code(), Code::Ok, "{}", other.message());
        }
    })
    .await;
}

#[tokio::test]
async fn failures_of_several_keys_stop_all_until_a_probe_succeeds() {
    over_both(async |protocol| {
        let script =
            Script::new(protocol, vec![vec![Step::Respond(Response::json(503, "{}"))]]);
        let fake = Fake::playing(script).await;
        let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
        let keys = ["one", "two", "three", "four"];
        let turn = Cell::new(0);
        let call = || {
            turn.set(turn.get() + 1);
            list(&gateway, keys[turn.get() % 3], ID)
        };
        let open = until_open(call).await;
        assert_eq!(open.error_metadata("circuit").as_deref(), Some("all"));
        assert!(open.message().contains("Polytomic keeps failing"), "{}", open.message());
        assert!(fake.seen().len() >= 20);

        fake.heal();
        let before = fake.seen().len();
        let recovered =
            async { while list(&gateway, "four", ID).await.code() != Code::Ok {} };
        timeout(LONG, recovered).await.unwrap();
        assert_eq!(fake.seen().len(), before + 1, "only the probe was sent");
        for key in keys {
            assert_eq!(list(&gateway, key, ID).await.code(), Code::Ok);
        }
    })
    .await;
}

#[tokio::test]
async fn failures_to_connect_stop_all_keys() {
    // Nobody listens on the port of a socket that is closed.
    let port = TcpListener::bind((HOST, 0)).await.unwrap().local_addr().unwrap().port();
    let gateway = Gateway::at(&format!("http://{HOST}:{port}"), &[]).await;
    let open = until_open(|| list(&gateway, "one", ID)).await;
    assert_eq!(open.error_metadata("circuit").as_deref(), Some("all"));
    let other = until_open(|| list(&gateway, "other", ID)).await;
    assert_eq!(other.error_metadata("circuit").as_deref(), Some("all"));
}

/// They opened the circuit of all keys, and the key that caused them took every probe.
#[tokio::test]
async fn refused_streams_of_a_key_stop_no_other_key() {
    let refuse = Step::Frame(RST_STREAM, 0, 7_u32.to_be_bytes().to_vec());
    let fake = Fake::playing(Script::new(Protocol::Http2, vec![vec![refuse]])).await;
    let gateway = Gateway::with(&fake, &[]).await;
    let open = until_open(|| list(&gateway, "refused", ID)).await;
    assert_eq!(open.error_metadata("circuit").as_deref(), Some("key"));
    fake.heal();
    let other = list(&gateway, "other", ID).await;
    assert_eq!(other.code(), Code::Ok, "{}", other.message());
}

/// One RPC opened 4,914 connections in 8 s, and no circuit opened.
#[tokio::test]
async fn connection_that_ends_before_its_first_request_is_a_failure_to_connect() {
    let (settings, goaway) = (frame(SETTINGS, 0, 0, &[]), frame(GOAWAY, 0, 0, &[0; 8]));
    let greeting = [settings, goaway].concat();
    let each = greeting.len() as u64;
    let mut script = Script::new(Protocol::Http2, Vec::new());
    script.greeting = vec![Step::Write(greeting), Step::Stall];
    let fake = Fake::playing(script).await;
    let gateway = Gateway::with(&fake, &[]).await;
    let reply = list(&gateway, "one", ID).await;
    assert_eq!(reply.reason(), "UPSTREAM_CONNECT_FAILED", "{}", reply.message());
    assert_eq!(reply.error_metadata("attempts").as_deref(), Some("3"));
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert!(fake.written() <= 3 * each, "{} connections", fake.written() / each);
    let open = until_open(|| list(&gateway, "one", ID)).await;
    assert_eq!(open.error_metadata("circuit").as_deref(), Some("all"));
}
