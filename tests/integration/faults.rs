//! What the gateway makes of an upstream that misbehaves: one table.
//!
//! Each behaviour is met by a list and by a create, and each must end with the
//! code, the reason, the number of attempts and the outcome that stand beside it,
//! and within a bound of memory.

mod http1;
mod secure;
mod statuses;

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

use crate::support::{
    Caller, Fake,
    fake::{Script, Step},
    process::Process,
    tls::Authority,
};

/// One way to misbehave, and what comes of it.
struct Case {
    name: &'static str,
    script: Script,
    /// For a list: code, reason, attempts, outcome. A star stands for anything.
    list: &'static str,
    /// For a create.
    create: &'static str,
    /// What the gateway is told beside [`FLAGS`].
    flags: Vec<String>,
    /// How many requests are seen, if not as many as there are attempts.
    seen: Option<usize>,
    /// The most bytes that the upstream gets rid of, for each attempt.
    bytes: Option<u64>,
}

/// What every gateway of the table is told.
const FLAGS: [&str; 7] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--no-key-check",
    "--allow-plaintext-upstream",
    "--answer-limit",
    "1000000",
];

/// What a call may cost a process in memory: 2 MiB for a first call at all, half a
/// one for the client's buffer, and twice the limit of an answer, whose buffer
/// doubles as it grows.
const MEMORY: u64 = 5 << 20;

/// Longer than any case takes on a busy machine.
const LONG: Duration = Duration::from_secs(100);

/// Cases that are checked at a time. More would make each other look slow.
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
        let script = Script { reactions, ..Script::default() };
        let (flags, seen, bytes) = (Vec::new(), None, None);
        Self { name, script, list, create, flags, seen, bytes }
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

    /// Shortens the limits, for an upstream that takes its time.
    fn hurried(self) -> Self {
        self.flag("--timeout", "1.5")
            .flag("--attempt-timeout", "0.4")
            .flag("--read-timeout", "0.3")
    }

    /// Serves both RPCs, and returns what did not come out as expected.
    async fn check(self) -> Vec<String> {
        let list = self.call(Caller::list, self.list).await;
        let create = self.call(Caller::create, self.create).await;
        [("list", list), ("create", create)]
            .into_iter()
            .filter_map(|(rpc, problem)| {
                problem.map(|problem| format!("{}, {rpc}: {problem}", self.name))
            })
            .collect()
    }

    async fn call(
        &self,
        rpc: fn(SocketAddr) -> Caller,
        expected: &str,
    ) -> Option<String> {
        let fake = Fake::playing(self.script.clone()).await;
        let url = fake.url();
        // A later flag of the same name would be refused, not win.
        let own = self.flags.iter().any(|flag| flag == "--upstream-url");
        let url = if own { vec![] } else { vec!["--upstream-url", &url] };
        let flags: Vec<&str> = FLAGS
            .into_iter()
            .chain(url)
            .chain(self.flags.iter().map(|it| &**it))
            .collect();
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
        let told = |name| reply.error_metadata(name).unwrap_or_default();
        let attempts = told("attempts");
        let actual =
            [format!("{:?}", reply.code()), reply.reason(), attempts, told("outcome")];
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
            // The last may have run out of time before it had a connection.
            None if expected[2] == "*" => (1..=attempts).contains(&seen.len()),
            None => seen.len() == attempts,
        };
        if !is_seen {
            return Some(format!("{} requests were seen: {actual:?}", seen.len()));
        }
        let is_create = seen.first().is_some_and(|seen| seen.line.starts_with("POST"));
        if is_create && Some(told("idempotencyKey").as_str()) != keys[0] {
            return Some("the key is not told".to_owned());
        }
        let most = self.bytes.map(|bytes| attempts as u64 * (bytes + SOCKET_BUFFERS));
        most.filter(|most| fake.written() > *most)
            .map(|most| format!("{} bytes were taken, not {most}", fake.written()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_misbehaviour_has_its_code_reason_attempts_and_outcome() {
    let authority = Authority::new();
    let mut cases = http1::cases();
    cases.extend(statuses::cases());
    cases.extend(secure::cases(&authority));
    let count = cases.len();
    assert!(count >= 40, "{count}");

    let mut checks = JoinSet::new();
    let mut problems = Vec::new();
    for case in cases {
        if checks.len() == AT_A_TIME {
            problems.push(checks.join_next().await.unwrap().unwrap());
        }
        checks.spawn(timeout(LONG, case.check()));
    }
    problems.extend(checks.join_all().await);
    let problems: Vec<String> = problems
        .into_iter()
        .flat_map(|problems| problems.expect("no case takes that long"))
        .collect();
    assert!(problems.is_empty(), "of {count} cases:\n{}", problems.join("\n"));
}
