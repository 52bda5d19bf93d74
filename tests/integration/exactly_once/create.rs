//! One create of a client, and its retries.

use std::{io, net::SocketAddr, time::Duration};

use kit::{Caller, caller::Reply, draws::Draws};
use polytomic_gateway::{
    proto::{
        CreatePartnerSharedConnectionRequest, CreatePartnerSharedConnectionResponse,
    },
    sandbox::seed,
};
use tokio::time::{sleep, timeout};
use tonic::Code;

use super::lives::Environment;

/// The maximum of RPCs of one create.
const MOST_SENDS: u64 = 6;

/// The maximum time of a response: the `--timeout` of the gateways.
const LONGEST: Duration = Duration::from_secs(2);

/// The maximum deadline of a client, and its maximum backoff after a failure.
const LONGEST_DEADLINE: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_millis(400);

/// How long a client waits that is not killed. It only ends a test that hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a client waits after a failed connection to a gateway.
const BACKOFF: Duration = Duration::from_millis(10);

/// One share that a client wants.
pub(super) struct Create {
    number: u64,
    /// The metadata that identifies the create in each of its RPCs.
    identity: Option<(&'static str, String)>,
    /// Whether a proxy retries it and forwards the last response, as Envoy does.
    is_proxied: bool,
    /// Whether a client library retries it, behind a sidecar that gives each stream an
    /// ID of its own.
    is_of_library: bool,
    tries: u64,
    /// Whether Polytomic accepts the create.
    pub(super) is_valid: bool,
    draws: Draws,
    pub(super) ending: Ending,
}

/// What the client knows of its create.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) id: Option<String>,
    /// Whether an RPC may have made the share.
    pub(super) is_unknown: bool,
    is_rejected: bool,
    key: Option<String>,
}

/// The outcome of one RPC.
enum Outcome {
    Id(String),
    NotSent,
    Rejected,
    Unknown,
}

/// How a client sends one RPC.
struct CallOptions {
    deadline: Option<Duration>,
    wait: Duration,
    gateway: usize,
}

impl Create {
    pub(super) fn new(number: u64, seed: u64) -> Self {
        let mut draws = Draws::new(seed, 1000 + number);
        let identity = match number % 3 {
            // As a mesh does. Two creates may have one request ID.
            0 => Some(("x-request-id", format!("request-{seed}-{}", number / 6))),
            // As a careful client does.
            1 => Some(("idempotency-key", format!("create-{seed}-{number}"))),
            // As a client without a key, which gets one from the gateway.
            _ => None,
        };
        let is_proxied = number.is_multiple_of(6);
        let is_of_library = number % 6 == 2;
        let is_valid = !draws.one_in(16);
        let ending = Ending::default();
        let tries = 0;
        Self {
            number,
            identity,
            is_proxied,
            is_of_library,
            tries,
            is_valid,
            draws,
            ending,
        }
    }

    pub(super) fn name(&self) -> String {
        format!("create-{}", self.number)
    }

    /// Reports whether the gateway would recognize a retry.
    pub(super) fn can_be_retried(&self) -> bool {
        self.identity.is_some()
    }

    /// Sends the create until its outcome is known, or up to [`MOST_SENDS`] times. The
    /// retries may be those of the client or of a proxy.
    pub(super) async fn make(&mut self, environment: &Environment) {
        // Many clients do not retry: the first outcome that they get must be true.
        let sends =
            if self.draws.one_in(3) { 1 } else { 1 + self.draws.below(MOST_SENDS) };
        for _ in 0..sends {
            // Some are sent twice concurrently, as a hedging proxy does.
            if self.can_be_retried() && !self.is_proxied && self.draws.one_in(8) {
                let options = (self.options(), self.options());
                let (one, two) = tokio::join!(
                    self.send(options.0, environment),
                    self.send(options.1, environment)
                );
                self.learn(one);
                self.learn(two);
            } else {
                let options = self.options();
                let outcome = self.send(options, environment).await;
                self.learn(outcome);
            }
            let is_settled = self.ending.id.is_some() || self.ending.is_rejected;
            if is_settled || !self.can_be_retried() && !self.is_of_library {
                return;
            }
            sleep(self.draws.short_time(LONGEST_BACKOFF)).await;
        }
    }

    fn options(&mut self) -> CallOptions {
        let draws = &mut self.draws;
        let deadline = draws.one_in(8).then(|| draws.short_time(LONGEST_DEADLINE));
        let wait = if draws.one_in(4) { draws.short_time(LONGEST) } else { LONGEST_WAIT };
        CallOptions { deadline, wait, gateway: usize::from(draws.one_in(2)) }
    }

    /// Sends the create once. To the gateway, a client that is killed is a connection
    /// that closes, so a client needs no separate process.
    async fn send(
        &self,
        options: CallOptions,
        environment: &Environment,
    ) -> (Outcome, Option<String>) {
        let figures = &environment.figures;
        figures.sent.one();
        let response = async {
            for gateway in options.gateway.. {
                let mut caller = self.caller(environment.address(gateway));
                if let Some(deadline) = options.deadline {
                    let millis = format!("{}m", deadline.as_millis() + 1);
                    caller = caller.with("grpc-timeout", &millis);
                }
                match caller.try_send().await {
                    // Another gateway may be running.
                    Err(error) if is_refused(&*error) => sleep(BACKOFF).await,
                    response => return response,
                }
            }
            unreachable!("there is always another gateway")
        };
        let Ok(response) = timeout(options.wait, response).await else {
            assert!(options.wait < LONGEST_WAIT, "{}: no response", self.name());
            figures.clients_killed.one();
            return (Outcome::Unknown, None);
        };
        let Ok(reply) = response else {
            figures.broken.one();
            return (Outcome::Unknown, None);
        };
        let outcome = outcome_of(&reply);
        figures.response(match &outcome {
            Outcome::Id(_) => "OK".to_owned(),
            _ => format!("{} {}", reply.reason(), outcome_text(&reply)),
        });
        (outcome, key_of(&reply))
    }

    fn learn(&mut self, (outcome, key): (Outcome, Option<String>)) {
        self.tries += 1;
        let name = self.name();
        if let Some(key) = key {
            let first = self.ending.key.get_or_insert(key.clone());
            assert_eq!(*first, key, "{name} has two keys");
            // A client that got a key retries with it, sooner or later.
            if self.identity.is_none() || !self.is_proxied && self.draws.one_in(4) {
                self.identity = Some(("idempotency-key", key));
            }
        }
        match outcome {
            Outcome::Id(id) => {
                assert!(self.is_valid, "{name} was made as {id}");
                let first = self.ending.id.get_or_insert(id.clone());
                assert_eq!(*first, id, "{name} was made twice");
            }
            Outcome::Rejected => {
                assert!(!self.is_valid, "{name} was not rejected by Polytomic");
                self.ending.is_rejected = true;
            }
            Outcome::Unknown => self.ending.is_unknown = true,
            Outcome::NotSent if self.is_proxied => self.ending.is_unknown = false,
            Outcome::NotSent => {}
        }
    }

    /// Retries the create until its outcome is known, as the gateway advises. Returns
    /// the id of the share if there is one.
    pub(super) async fn find(&self, gateway: SocketAddr) -> Option<String> {
        /// On a busy machine, some of them may time out.
        const MOST: usize = 10;

        let mut last = String::new();
        for _ in 0..MOST {
            let reply = self.caller(gateway).send().await;
            match outcome_of(&reply) {
                Outcome::Id(id) => return Some(id),
                Outcome::Rejected => return None,
                Outcome::NotSent | Outcome::Unknown => last = reply.message(),
            }
        }
        panic!("{}: {last}", self.name())
    }

    /// Reports whether the proxy counts its tries, as Envoy does if configured.
    fn is_counted(&self) -> bool {
        self.number.is_multiple_of(12)
    }

    fn caller(&self, gateway: SocketAddr) -> Caller {
        let child = if self.is_valid {
            seed::THIRD_CHILD_ORGANIZATION
        } else {
            seed::OTHER_ORGANIZATION
        };
        let message = CreatePartnerSharedConnectionRequest {
            org_id: seed::OWNER_ORGANIZATION.to_owned(),
            connection_id: seed::UNSHARED_CONNECTION.to_owned(),
            child_organization_id: child.to_owned(),
            name: Some(self.name()),
        };
        let caller = Caller::new(gateway, "CreatePartnerSharedConnection", &message);
        let caller = match &self.identity {
            Some((name, value)) => caller.with(name, value),
            None => caller,
        };
        if self.is_of_library {
            let stream = format!("stream-{}-{}", self.number, self.tries);
            let caller = caller.with("x-request-id", &stream);
            return match self.tries {
                0 => caller,
                tries => caller.with("grpc-previous-rpc-attempts", &tries.to_string()),
            };
        }
        match (self.is_proxied, self.is_counted()) {
            (false, _) => caller,
            (true, false) => caller.with("x-forwarded-proto", "http"),
            (true, true) => {
                caller.with("x-envoy-attempt-count", &(self.tries + 1).to_string())
            }
        }
    }
}

/// Reads the outcome of a reply. Every error has the outcome, and the key unless the
/// gateway rejects a retry that should have one.
fn outcome_of(reply: &Reply) -> Outcome {
    if reply.code() == Code::Ok {
        let response: CreatePartnerSharedConnectionResponse = reply.decode();
        return Outcome::Id(response.connection.unwrap().id);
    }
    // Only a failure of the sandbox itself has this reason.
    assert_ne!(reply.reason(), "UPSTREAM_ERROR");
    let outcome = outcome_text(reply);
    let key = reply.error_metadata("idempotencyKey");
    assert_eq!(key, key_of(reply), "{outcome}");
    assert!(key.is_some() || reply.reason() == "INVALID_FIELD", "{outcome}");
    match outcome.as_str() {
        "UNKNOWN" => Outcome::Unknown,
        "NOT_SENT" => Outcome::NotSent,
        "REJECTED" => Outcome::Rejected,
        other => panic!("{other}: {}", reply.message()),
    }
}

fn key_of(reply: &Reply) -> Option<String> {
    reply.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned())
}

fn outcome_text(reply: &Reply) -> String {
    reply.error_metadata("outcome").expect("an error has an outcome")
}

/// Reports whether no gateway listened on the address.
fn is_refused(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
