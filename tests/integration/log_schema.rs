//! The lines of the JSON log have the fields that `docs/LOGS.md` states.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use kit::{
    Caller, CredentialFiles, Fake, Gateway, HOST,
    caller::{ID, KEY, Reply, SERVICE},
    log::Log,
    process::Process,
    tls::{Authority, TlsFiles, VALID},
};
use polytomic_gateway::{
    proto::{CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest},
    sandbox::seed,
};
use serde_json::{Map, Value, json};
use tokio_rustls::TlsConnector;
use tonic::Code;

use crate::admin::put_log_filter;

const PAGE: &str = include_str!("../../docs/LOGS.md");

/// The heading of the fields that every line has.
const EVERY_LINE: &str = "Every line";

/// A field as the page states it.
#[derive(Debug)]
struct Field {
    kind: &'static str,
    always: bool,
}

type Fields = HashMap<&'static str, Field>;

/// The fields of every line, and the events of the page.
struct Schema {
    every_line: Fields,
    events: Vec<Event>,
}

#[derive(Debug, Default)]
struct Event {
    /// One message, or several that have the same fields.
    heading: &'static str,
    level: &'static str,
    fields: Fields,
}

impl Schema {
    fn of(page: &'static str) -> Self {
        let mut events: Vec<Event> = Vec::new();
        for line in page.lines() {
            if line.starts_with('#') {
                let heading = line.trim_start_matches('#').trim_start();
                events.push(Event { heading, ..Event::default() });
            }
            let event = events.last_mut().expect("the page begins with a heading");
            if let Some(level) = level(line) {
                event.level = level;
            }
            event.fields.extend(field(line));
        }
        let place = events.iter().position(|event| event.heading == EVERY_LINE).unwrap();
        Self { every_line: events.remove(place).fields, events }
    }

    /// Fails unless a line has exactly the fields that the page states for it.
    fn check(&self, line: &Map<String, Value>) {
        let message = line["message"].as_str().unwrap();
        let event = self
            .events
            .iter()
            .find(|event| event.heading.split(" or ").any(|heading| heading == message))
            .unwrap_or_else(|| panic!("not in docs/LOGS.md: {message}"));
        assert_eq!(line["level"], event.level, "{message}");
        for (name, value) in line {
            let field = self.every_line.get(&**name).or(event.fields.get(&**name));
            let field =
                field.unwrap_or_else(|| panic!("not in docs/LOGS.md: {message}: {name}"));
            let is_kind = match field.kind {
                "string" => value.is_string(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "list" => value.is_array(),
                kind => panic!("docs/LOGS.md: {message}: {name}: no type {kind:?}"),
            };
            assert!(is_kind, "{message}: {name} is {value}, not a {}", field.kind);
        }
        for (name, field) in self.every_line.iter().chain(&event.fields) {
            assert!(!field.always || line.contains_key(*name), "{message} lacks {name}");
        }
    }
}

/// Returns the level with which a paragraph begins.
fn level(line: &'static str) -> Option<&'static str> {
    let (level, _) = line.strip_prefix('`')?.split_once('`')?;
    ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level).then_some(level)
}

/// Returns the field of a table row.
fn field(line: &'static str) -> Option<(&'static str, Field)> {
    let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let (kind, when) = rest.strip_suffix(" |")?.rsplit_once(" | ")?;
    let kind = kind.split([' ', ',', ':']).next()?;
    Some((name, Field { kind, always: when == "always" }))
}

async fn list_with(process: &Process, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    Caller::list(process.address)
        .without("authorization")
        .with("authorization", &bearer)
        .send()
        .await
}

/// Checks every line of a log and returns the messages.
fn check(log: &str) -> Vec<String> {
    let schema = Schema::of(PAGE);
    log.lines()
        .map(|line| {
            let line: Map<String, Value> = serde_json::from_str(line).unwrap();
            schema.check(&line);
            line["message"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn assert_logged(messages: &[String], expected: &[&str]) {
    for expected in expected {
        assert!(messages.iter().any(|message| message == expected), "no {expected:?}");
    }
}

/// Sends a create that is too large to become an RPC.
async fn create_too_large(address: SocketAddr) -> Reply {
    let message = CreatePartnerSharedConnectionRequest {
        name: Some("n".repeat(64 * 1024)),
        ..Default::default()
    };
    Caller::new(address, "CreatePartnerSharedConnection", &message)
        .with("idempotency-key", "a-key-of-the-client")
        .with("x-request-id", "an-id-of-the-client")
        .send()
        .await
}

#[tokio::test]
async fn log_of_rpcs_start_and_drain_has_the_documented_fields() {
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let process = Process::start(&arguments, &[]).await;
    assert_eq!(list_with(&process, KEY).await.code(), Code::Ok);
    assert_eq!(Caller::create(process.address).send().await.code(), Code::Ok);
    let denied = list_with(&process, seed::USER_KEY).await;
    assert_eq!(denied.code(), Code::PermissionDenied);
    let unknown = Caller::new(process.address, "NoSuchRpc", &()).send().await;
    assert_eq!(unknown.code(), Code::Unimplemented);
    let too_large = create_too_large(process.address).await;
    assert_eq!(too_large.code(), Code::ResourceExhausted);

    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let messages = check(&log);
    let count = |wanted| messages.iter().filter(|message| *message == wanted).count();
    assert_eq!((count("RPC ended"), count("request rejected")), (3, 2));
    assert_logged(&messages, &["lame duck", "draining", "drained"]);
}

#[tokio::test]
async fn log_of_streams_and_long_lists_has_the_documented_fields() {
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let process = Process::start(&arguments, &[]).await;
    let of_10_000 = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: seed::connection_with_copies(10_000),
    };
    let list =
        || Caller::new(process.address, "ListPartnerSharedConnections", &of_10_000);
    for _ in 0..2 {
        let reply = list().send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        assert!(reply.body.len() > 4 << 20, "{}", reply.body.len());
    }
    assert_eq!(Caller::stream(process.address).send().await.code(), Code::Ok);

    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let messages = check(&log);
    let warning =
        "message is larger than gRPC clients receive by default; stream it instead";
    let warnings = messages.iter().filter(|message| *message == warning);
    assert_eq!(warnings.count(), 1, "once per RPC");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let warned = lines.iter().find(|line| line["message"] == warning).unwrap();
    assert_eq!(warned["stream"], "StreamPartnerSharedConnections");
    let counts: Vec<_> = lines.iter().filter(|line| line["messages"] == 1).collect();
    assert_eq!(counts.len(), 1);
}

#[tokio::test]
async fn rejected_request_is_logged_like_an_rpc() {
    let log = Log::keep();
    let fake = Fake::answering([]).await;
    let gateway = Gateway::on(&fake).await;
    let reply = create_too_large(gateway.address).await;
    let line = log.rpc().await;
    assert_eq!(line["message"], "request rejected");
    assert_eq!(line["rpc"], format!("/{SERVICE}/CreatePartnerSharedConnection"));
    assert_eq!(line["code"], "ResourceExhausted");
    assert_eq!(line["reason"], reply.reason());
    assert_eq!(line["attempts"], 0);
    assert!(line["duration_ms"].is_f64(), "{line}");
    for (field, metadata, value) in [
        ("request_id", "x-request-id", "an-id-of-the-client"),
        ("idempotency_key", "idempotency-key", "a-key-of-the-client"),
    ] {
        assert_eq!(line[field], value);
        assert_eq!(reply.trailers[metadata], value);
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn log_of_credential_files_has_the_documented_fields() {
    let files = CredentialFiles::new(KEY, "the-caller-token");
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let arguments = [&arguments[..], &files.flags()].concat();
    let process = Process::start(&arguments, &[]).await;
    assert_eq!(list_with(&process, "the-caller-token").await.code(), Code::Ok);
    files.put_key("two\nlines");
    process.signal("HUP").await;
    process.logs("file is not usable", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let loaded = ["partner key loaded", "caller token loaded"];
    let messages = check(&log);
    assert_logged(&messages, &loaded);
    assert_logged(&messages, &["partner key file is not usable"]);
}

#[tokio::test]
async fn log_of_certificates_has_the_documented_fields() {
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[HOST], [2010, 2020]), &authority);
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let process = Process::start(&[&arguments[..], &files.mutual()].concat(), &[]).await;
    let valid = authority.issue(&[HOST], VALID);
    files.put(&valid, &authority);
    process.signal("HUP").await;
    process.logs("listener certificates loaded", 2).await;
    let client = authority.client(Some(&authority.issue(&["orders.example"], VALID)));
    let tls = TlsConnector::from(Arc::new(client));
    let reply = Caller::list(process.address).tls(&tls).send().await;
    assert_eq!(reply.code(), Code::Ok);
    files.put_contents([&valid.certificate, "", &authority.pem()]);
    process.signal("HUP").await;
    process.logs("certificates are not usable", 1).await;
    let nameless = TlsConnector::from(Arc::new(authority.client(None)));
    Caller::list(process.address).tls(&nameless).try_send().await.unwrap_err();
    process.logs("TLS handshake failed", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let messages = check(&log);
    assert_logged(
        &messages,
        &[
            "certificate is not valid now",
            "listener certificates loaded",
            "listener certificates are not usable",
            "connections rejected",
        ],
    );
    assert!(log.contains(r#""identity":"orders.example""#), "{log}");
}

#[tokio::test]
async fn log_of_a_changed_filter_has_the_documented_fields() {
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log-format"];
    let admin = ["json", "--admin-listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &admin].concat(), &[]).await;
    assert_eq!(put_log_filter(process.admin(), "warn", "").await.0, 200);
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    assert_eq!(check(&log).last().unwrap(), "log filter changed");
    assert!(log.contains(r#","admin":"127.0.0.1:"#), "{log}");
}

#[tokio::test]
async fn log_of_circuits_has_the_documented_fields() {
    let arguments = [
        "serve",
        "--sandbox",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--attempts",
        "1",
    ];
    let process = Process::start(&arguments, &[]).await;
    let failing = ListPartnerSharedConnectionsRequest {
        org_id: ID.to_owned(),
        connection_id: "00000000-0000-4000-8000-000000000502".to_owned(),
    };
    let fail = || Caller::new(process.address, "ListPartnerSharedConnections", &failing);
    while fail().send().await.reason() != "CIRCUIT_OPEN" {}
    while list_with(&process, KEY).await.code() != Code::Ok {}
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    let messages = check(&log);
    assert_logged(&messages, &["circuit breaker opened", "circuit breaker closed"]);
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let caller = lines.iter().find_map(|line| line["caller"].as_str()).unwrap();
    let is_of_circuit =
        |line: &&Value| line["message"].as_str().unwrap().starts_with("circuit breaker");
    for line in lines.iter().filter(is_of_circuit) {
        assert_eq!((&line["circuit"], &line["caller"]), (&json!("key"), &json!(caller)));
    }
}
