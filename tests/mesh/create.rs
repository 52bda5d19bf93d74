//! One create: who retries it, and what its client does with an outcome.

use std::{collections::HashMap, time::Duration};

use kit::draws::Draws;
use polytomic_gateway::sandbox::seed;
use serde_json::json;
use tokio::time::sleep;
use tonic::Code;

use super::{
    Mesh,
    checker::{Claim, Learned},
    client::{Call, Library, Reply},
    envoy::Listeners,
};

/// How the names of shares begin.
pub(crate) const PREFIX: &str = "mesh-";

/// The maximum of calls of one create. Only a broken gateway reaches it.
const MOST_CALLS: u32 = 60;

/// The timeout of a call, longer than that of Envoy's routes.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The maximum timeout of an impatient client.
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum backoff of a client after its first call, and after many.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

const KEY: &str = "idempotency-key";
const REQUEST_ID: &str = "x-request-id";

/// Who retries a create, in addition to the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nobody.
    Gateway,
    /// The client and its library, with the client's own key.
    Key,
    /// The client, which sends two copies at a time with its own key.
    HedgingKey,
    /// The library, without a key.
    Library,
    /// As [`Kind::Library`], with a second copy at the same time. No library does it
    /// yet, so the client marks the copy as gRFC A6 says.
    HedgingLibrary,
    /// Envoy, which gives the stream an ID.
    Proxy,
    /// Envoy, which sends copies and keeps the client's request ID.
    HedgingProxy,
    /// Envoy, which gives no ID.
    PlainProxy,
}

const KINDS: [Kind; 8] = [
    Kind::Gateway,
    Kind::Key,
    Kind::HedgingKey,
    Kind::Library,
    Kind::HedgingLibrary,
    Kind::Proxy,
    Kind::HedgingProxy,
    Kind::PlainProxy,
];

/// One share that a client wants.
pub(crate) struct Create {
    number: u64,
    kind: Kind,
    library: Library,
    /// Whether the client does as an error says, or takes the first outcome.
    follows: bool,
    is_valid: bool,
    key: Option<String>,
    request_id: String,
    draws: Draws,
    learned: Learned,
    /// What its client got, for the report of a failure.
    replies: Vec<String>,
}

impl Create {
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        let (kind, round) = (KINDS[usize::try_from(number % 8).unwrap()], number / 8);
        let mut draws = Draws::new(seed, 1000 + number);
        let has_key = matches!(kind, Kind::Key | Kind::HedgingKey);
        Self {
            number,
            kind,
            library: if round.is_multiple_of(2) { Library::Go } else { Library::Python },
            follows: has_key || draws.one_in(2),
            is_valid: !draws.one_in(16),
            key: has_key.then(|| format!("{PREFIX}{seed}-{number}")),
            request_id: format!("request-{seed}-{number}"),
            draws,
            learned: Learned::Nothing,
            replies: Vec::new(),
        }
    }

    /// Returns what the client says in the end.
    pub(crate) fn claim(&self) -> Claim {
        Claim {
            name: self.name(),
            is_valid: self.is_valid,
            is_settled: self.key.is_some(),
            learned: self.learned.clone(),
            replies: self.replies.clone(),
        }
    }

    fn name(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }

    /// Makes calls until the client has nothing left to do.
    pub(crate) async fn make(&mut self, mesh: &Mesh) {
        for number in 0..MOST_CALLS {
            let call = self.call(mesh);
            let replies = if let Some(copy) = self.copy_of(&call) {
                let replies =
                    tokio::join!(mesh.clients.call(&call), mesh.clients.call(&copy));
                vec![(call, replies.0), (copy, replies.1)]
            } else {
                let reply = mesh.clients.call(&call).await;
                vec![(call, reply)]
            };
            for (call, reply) in &replies {
                mesh.figures.count(self.kind, reply);
                self.check(call, reply, &mesh.listeners);
                self.learn(reply);
            }
            let is_over = match self.learned {
                Learned::Nothing => false,
                Learned::NotMade => !self.follows,
                // Without a key, a client lists.
                Learned::Unknown => self.key.is_none() || !self.follows,
                Learned::Made(_) | Learned::MadeTwice(..) | Learned::Rejected => true,
            };
            if is_over {
                return;
            }
            let longest = LONGEST_BACKOFF.min(FIRST_BACKOFF * 2_u32.pow(number.min(8)));
            sleep(self.draws.time(longest)).await;
        }
    }

    fn call(&mut self, mesh: &Mesh) -> Call {
        let listeners = &mesh.listeners;
        let address = match self.kind {
            Kind::Gateway => listeners.once,
            Kind::Library => match self.draws.below(3) {
                0 => listeners.sidecar,
                1 => listeners.hedging,
                _ => listeners.once,
            },
            Kind::HedgingLibrary | Kind::Proxy => listeners.sidecar,
            Kind::HedgingProxy => listeners.hedging,
            Kind::PlainProxy => listeners.plain,
            Kind::Key | Kind::HedgingKey => match self.draws.below(3) {
                0 => listeners.sidecar,
                1 => listeners.hedging,
                _ => listeners.plain,
            },
        };
        let child = if self.is_valid {
            seed::THIRD_CHILD_ORGANIZATION
        } else {
            seed::OTHER_ORGANIZATION
        };
        let mut metadata =
            HashMap::from([("authorization", format!("Bearer {}", seed::PARTNER_KEY))]);
        if let Some(key) = &self.key {
            metadata.insert(KEY, key.clone());
        }
        if address != listeners.plain {
            metadata.insert(REQUEST_ID, self.request_id.clone());
        }
        let timeout = if self.draws.one_in(8) {
            self.draws.short_time(SHORT_TIMEOUT) + Duration::from_millis(1)
        } else {
            TIMEOUT
        };
        Call {
            library: self.library,
            address,
            retries: matches!(self.kind, Kind::Key | Kind::Library),
            request: json!({
                "org_id": seed::OWNER_ORGANIZATION,
                "connection_id": seed::UNSHARED_CONNECTION,
                "child_organization_id": child,
                "name": self.name(),
            }),
            metadata,
            timeout,
        }
    }

    /// Returns what a client that hedges sends at the same time.
    fn copy_of(&self, call: &Call) -> Option<Call> {
        let mut copy = call.clone();
        match self.kind {
            Kind::HedgingKey => {}
            Kind::HedgingLibrary => {
                copy.metadata.insert("grpc-previous-rpc-attempts", "1".to_owned());
            }
            _ => return None,
        }
        Some(copy)
    }

    /// Checks what a gateway says beside the outcome.
    fn check(&self, call: &Call, reply: &Reply, listeners: &Listeners) {
        let name = self.name();
        let key = call.metadata.get(KEY);
        if let (Some(sent), Some(used)) = (key, reply.metadata.get(KEY)) {
            assert_eq!(sent, used, "{name} was sent with another key");
        }
        if let Some(id) = reply.metadata.get(REQUEST_ID) {
            let is_kept = *id == self.request_id;
            assert_eq!(is_kept, call.address == listeners.hedging, "{name}: {reply:?}");
        }
        if reply.reason().is_none() {
            return;
        }
        if key.is_none() && outcome(reply) == UNKNOWN {
            assert_eq!(reply.error("retryable"), Some("false"), "{name}: {reply:?}");
            let pushback = reply.metadata.get("grpc-retry-pushback-ms");
            assert_eq!(pushback.map(String::as_str), Some("-1"), "{name}: {reply:?}");
        }
    }

    fn learn(&mut self, reply: &Reply) {
        let (code, outcome, message) = (reply.code, outcome(reply), &reply.message);
        self.replies.push(format!("{:?} {outcome} {code:?} {message}", self.kind));
        let learned = std::mem::take(&mut self.learned);
        self.learned = match (outcome, learned) {
            (OK, Learned::Made(id)) if id != reply.share => {
                Learned::MadeTwice(id, reply.share.clone())
            }
            (OK, twice @ Learned::MadeTwice(..)) => twice,
            (OK, _) => Learned::Made(reply.share.clone()),
            (_, made @ (Learned::Made(_) | Learned::MadeTwice(..))) => made,
            (REJECTED, _) | (_, Learned::Rejected) => Learned::Rejected,
            (NOT_SENT, Learned::Nothing | Learned::NotMade) => Learned::NotMade,
            _ => Learned::Unknown,
        };
        // The error of a create in doubt says with which key to retry.
        if self.follows && self.key.is_none() && outcome == UNKNOWN {
            self.key = reply.error("idempotencyKey").map(str::to_owned);
        }
    }
}

const OK: &str = "OK";
const NOT_SENT: &str = "NOT_SENT";
const REJECTED: &str = "REJECTED";
const UNKNOWN: &str = "UNKNOWN";

/// Returns what became of an RPC. Errors of Envoy and of the library do not say it.
fn outcome(reply: &Reply) -> &str {
    if reply.code == Code::Ok {
        return OK;
    }
    reply.error("outcome").unwrap_or(UNKNOWN)
}
