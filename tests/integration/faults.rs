//! How the gateway handles an upstream that misbehaves: one table.
//!
//! Each case is a misbehaviour, with the expected code, reason, number of attempts
//! and outcome of a list and of a create. It also bounds the memory of the gateway.
//! Whatever both protocols can express runs over both.

mod http1;
mod http2;
mod messages;
mod secure;
mod statuses;

use std::net::SocketAddr;

use kit::{
    Caller, Fake, HANG_GUARD, Protocol,
    fake::{Script, Step},
    process::Process,
    tls::Authority,
};
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

/// A misbehaviour, and the expected result.
struct Case {
    name: &'static str,
    script: Script,
    protocols: Vec<Protocol>,
    /// For a list: code, reason, attempts, outcome. A star stands for any value.
    list: &'static str,
    /// For a create.
    create: &'static str,
    /// The gateway's flags in addition to [`FLAGS`].
    flags: Vec<String>,
    /// The number of requests that the upstream sees, if it is not that of attempts.
    seen: Option<usize>,
    /// The maximum of bytes that the gateway reads, per attempt.
    bytes: Option<u64>,
}

const UNREACHED: &str = "Unavailable UPSTREAM_CONNECT_FAILED 3 NOT_SENT";
const LOST: &str = "Unavailable UPSTREAM_RESET 3 UNKNOWN";
/// As above, once the response has begun.
const CUT: &str = "Unavailable UPSTREAM_RESET 3 COMPLETED";
const SLOW: &str = "DeadlineExceeded UPSTREAM_TIMEOUT 3 UNKNOWN";
/// As above, once the response has begun.
const SLOW_BODY: &str = "DeadlineExceeded UPSTREAM_TIMEOUT 3 COMPLETED";
/// The same without a head of a response: the gateway does not abandon a create that it
/// has sent.
const SLOW_CREATE: &str = "DeadlineExceeded UPSTREAM_TIMEOUT 1 UNKNOWN";
/// As for a list that is slow; a busy machine makes fewer attempts.
const STARVED: &str = "DeadlineExceeded UPSTREAM_TIMEOUT * UNKNOWN";
const UNREADABLE: &str = "Internal UPSTREAM_BAD_RESPONSE 1 COMPLETED";
/// The gateway retries a create once, since Polytomic replays its response.
const UNREADABLE_CREATE: &str = "Unknown OUTCOME_UNKNOWN 2 UNKNOWN";
const TOO_LARGE: &str = "ResourceExhausted UPSTREAM_RESPONSE_TOO_LARGE 1 COMPLETED";
const TOO_LARGE_CREATE: &str = "ResourceExhausted UPSTREAM_RESPONSE_TOO_LARGE 1 UNKNOWN";

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// The flags of every gateway of the table.
const FLAGS: [&str; 7] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--no-key-check",
    "--allow-plaintext-upstream",
    "--answer-limit",
    "1000000",
];

/// The maximum of memory that an RPC adds to a process: 2.5 MiB for a first RPC, half a
/// MiB for the client's buffer, and three times the limit of a response: its buffer
/// doubles as it grows, and mimalloc keeps the smaller ones for a second.
const MEMORY: u64 = 6 << 20;

/// Cases that run at the same time. More would slow each other down.
const AT_A_TIME: usize = 6;

/// What the system's buffers between the two hold, on both sides.
const SOCKET_BUFFERS: u64 = 12_000_000;

impl Case {
    fn new(
        name: &'static str,
        reactions: Vec<Vec<Step>>,
        list: &'static str,
        create: &'static str,
    ) -> Self {
        let script = Script::new(Protocol::Http1, reactions);
        let protocols = vec![Protocol::Http1];
        let (flags, seen, bytes) = (Vec::new(), None, None);
        Self { name, script, protocols, list, create, flags, seen, bytes }
    }

    fn over(mut self, protocols: &[Protocol]) -> Self {
        self.protocols = protocols.to_vec();
        self
    }

    fn seen(mut self, seen: usize) -> Self {
        self.seen = Some(seen);
        self
    }

    fn most_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Shortens the time limits, for an upstream that is slow or silent. An attempt
    /// includes the first TLS handshake, which is slow in an unoptimised gateway.
    fn hurried(self) -> Self {
        self.flag("--timeout", "6")
            .flag("--attempt-timeout", "1.5")
            .flag("--read-timeout", "0.3")
    }

    /// Runs both RPCs over each protocol, and returns what was not as expected.
    async fn check(self) -> Vec<String> {
        let mut problems = Vec::new();
        for protocol in &self.protocols {
            let script = Script { protocol: *protocol, ..self.script.clone() };
            for (rpc, caller, expected) in [
                ("list", Caller::list as fn(SocketAddr) -> Caller, self.list),
                ("create", Caller::create, self.create),
            ] {
                let problem = self.call(script.clone(), caller, expected).await;
                let case = format!("{}, {rpc}, {protocol}", self.name);
                problems.extend(problem.map(|problem| format!("{case}: {problem}")));
            }
        }
        problems
    }

    async fn call(
        &self,
        script: Script,
        rpc: fn(SocketAddr) -> Caller,
        expected: &str,
    ) -> Option<String> {
        let fake = Fake::playing(script).await;
        // clap rejects a flag that is given twice.
        let has_url = self.flags.iter().any(|flag| flag == "--upstream-url");
        let upstream = if has_url { Vec::new() } else { fake.flags() };
        let own: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let flags = [&FLAGS[..], &upstream, &own].concat();
        let gateway = Process::start(&flags, &[]).await;
        let before = gateway.peak_memory();
        let reply = rpc(gateway.address).send().await;
        let grown = before.map(|before| gateway.peak_memory().unwrap() - before);
        if grown.is_some_and(|grown| grown > MEMORY) {
            return Some(format!("memory grew by {} KiB", grown.unwrap() / 1024));
        }

        let seen = fake.seen();
        let keys: Vec<_> =
            seen.iter().map(|seen| seen.header("idempotency-key")).collect();
        if keys.iter().any(|key| *key != keys[0]) {
            return Some(format!("the attempts have different keys: {keys:?}"));
        }
        if reply.code() == Code::Ok {
            let actual = format!("Ok {}", seen.len());
            return (actual != expected).then_some(actual);
        }
        let metadata = |name| reply.error_metadata(name).unwrap_or_default();
        let attempts = metadata("attempts");
        let actual = [
            format!("{:?}", reply.code()),
            reply.reason(),
            attempts,
            metadata("outcome"),
        ];
        let expected: Vec<&str> = expected.split(' ').collect();
        let is_as_expected = expected.len() == actual.len()
            && expected
                .iter()
                .zip(&actual)
                .all(|(want, have)| *want == "*" || want == have);
        if !is_as_expected {
            return Some(format!("{} ({})", actual.join(" "), reply.message()));
        }
        let attempts: usize = actual[2].parse().unwrap();
        let is_seen = match self.seen {
            Some(requests) => seen.len() == requests,
            // The last attempt may have timed out before it had a connection.
            None if expected[2] == "*" => (1..=attempts).contains(&seen.len()),
            None => seen.len() == attempts,
        };
        if !is_seen {
            return Some(format!("{} requests were seen: {actual:?}", seen.len()));
        }
        let is_create = seen.first().is_some_and(|seen| seen.line.starts_with("POST"));
        if is_create && Some(metadata("idempotencyKey").as_str()) != keys[0] {
            return Some("the error does not return the key".to_owned());
        }
        let most = self.bytes.map(|bytes| attempts as u64 * (bytes + SOCKET_BUFFERS));
        most.filter(|most| fake.written() > *most)
            .map(|most| format!("{} bytes were read, not {most}", fake.written()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_upstream_fault_has_its_code_reason_attempts_and_outcome() {
    let authority = Authority::new();
    let mut cases = http1::cases();
    cases.extend(http2::cases(&authority));
    cases.extend(messages::cases());
    cases.extend(statuses::cases());
    cases.extend(secure::cases(&authority));
    let count = cases.len();
    assert!(count >= 100, "{count}");

    let mut checks = JoinSet::new();
    let mut problems = Vec::new();
    for case in cases {
        if checks.len() == AT_A_TIME {
            problems.push(checks.join_next().await.unwrap().unwrap());
        }
        checks.spawn(timeout(HANG_GUARD, case.check()));
    }
    problems.extend(checks.join_all().await);
    let problems: Vec<String> = problems
        .into_iter()
        .flat_map(|problems| problems.expect("no case hangs"))
        .collect();
    assert!(problems.is_empty(), "of {count} cases:\n{}", problems.join("\n"));
}
