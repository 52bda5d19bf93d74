//! A share that somebody wants, and how they go about it.

use std::{io, net::SocketAddr, time::Duration};

use polytomic_gateway::{
    proto::{
        CreatePartnerSharedConnectionRequest, CreatePartnerSharedConnectionResponse,
    },
    sandbox::seed,
};
use tokio::time::{sleep, timeout};
use tonic::Code;

use super::{draws::Draws, lives::Scene};
use crate::support::{Caller, caller::Reply};

/// How often a create is sent at most.
const MOST_SENDS: u64 = 6;

/// The longest that an answer takes: the `--timeout` of the gateways.
const LONGEST: Duration = Duration::from_secs(2);

/// The longest deadline that a caller sets, and its longest rest after a failure.
const LONGEST_DEADLINE: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_millis(400);

/// How long a caller waits that nobody kills. An answer that has not come by then
/// will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait when no gateway is there.
const BACKOFF: Duration = Duration::from_millis(10);

/// One share that somebody wants.
pub(super) struct Create {
    number: u64,
    /// What its RPCs are known by: metadata that is the same whenever one is sent.
    same: Option<(&'static str, String)>,
    /// Whether a proxy sends it again, which says so and passes on what it is told
    /// last, as Envoy does.
    is_proxied: bool,
    tries: u64,
    /// Whether Polytomic makes such shares at all.
    pub(super) is_valid: bool,
    draws: Draws,
    pub(super) ending: Ending,
}

/// How a create ended for its caller.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) id: Option<String>,
    /// Whether any of the RPCs may have had an effect, as far as the caller knows.
    pub(super) in_doubt: bool,
    is_rejected: bool,
    key: Option<String>,
}

/// How one RPC ended.
enum Told {
    Id(String),
    NotSent,
    Rejected,
    Unknown,
}

/// What a caller does in an RPC beside waiting for its answer.
struct Manner {
    deadline: Option<Duration>,
    patience: Duration,
    gateway: usize,
}

impl Create {
    pub(super) fn new(number: u64, seed: u64) -> Self {
        let mut draws = Draws::new(seed, 1000 + number);
        let same = match number % 3 {
            // As a mesh does. An id may be that of a request that led to two
            // creates.
            0 => Some(("x-request-id", format!("request-{seed}-{}", number / 6))),
            // As a careful caller does.
            1 => Some(("idempotency-key", format!("create-{seed}-{number}"))),
            // As whoever has not thought of it, and is given a key.
            _ => None,
        };
        let is_proxied = number.is_multiple_of(6);
        let is_valid = !draws.one_in(16);
        let ending = Ending::default();
        Self { number, same, is_proxied, tries: 0, is_valid, draws, ending }
    }

    pub(super) fn name(&self) -> String {
        format!("create-{}", self.number)
    }

    /// Reports whether a repeat would be known as one.
    pub(super) fn can_be_repeated(&self) -> bool {
        self.same.is_some()
    }

    /// Sends the create until it is known what became of it, or for as long as
    /// anybody cares. Whoever sends it again may be the caller, its successor, or
    /// a proxy on the way.
    pub(super) async fn make(&mut self, scene: &Scene) {
        // Many do not care for long: what they are told first must hold.
        let sends =
            if self.draws.one_in(3) { 1 } else { 1 + self.draws.below(MOST_SENDS) };
        for _ in 0..sends {
            // Some are sent twice at once, as a hedging proxy does.
            if self.can_be_repeated() && !self.is_proxied && self.draws.one_in(8) {
                let manners = (self.manner(), self.manner());
                let (one, two) = tokio::join!(
                    self.send(manners.0, scene),
                    self.send(manners.1, scene)
                );
                self.learn(one);
                self.learn(two);
            } else {
                let manner = self.manner();
                let told = self.send(manner, scene).await;
                self.learn(told);
            }
            let is_settled = self.ending.id.is_some() || self.ending.is_rejected;
            if is_settled || !self.can_be_repeated() {
                return;
            }
            sleep(self.draws.short_time(LONGEST_REST)).await;
        }
    }

    fn manner(&mut self) -> Manner {
        let draws = &mut self.draws;
        let deadline = draws.one_in(8).then(|| draws.short_time(LONGEST_DEADLINE));
        let patience = if draws.one_in(4) { draws.short_time(LONGEST) } else { PATIENCE };
        Manner { deadline, patience, gateway: usize::from(draws.one_in(2)) }
    }

    /// Sends the create once. A caller that is killed is, for the gateway, a
    /// connection that closes; so it needs no process of its own.
    async fn send(&self, manner: Manner, scene: &Scene) -> (Told, Option<String>) {
        let figures = &scene.figures;
        figures.sent.one();
        let answer = async {
            for gateway in manner.gateway.. {
                let mut caller = self.caller(scene.address(gateway));
                if let Some(deadline) = manner.deadline {
                    let millis = format!("{}m", deadline.as_millis() + 1);
                    caller = caller.with("grpc-timeout", &millis);
                }
                match caller.try_send().await {
                    // Another one may be.
                    Err(error) if is_refused(&*error) => sleep(BACKOFF).await,
                    answer => return answer,
                }
            }
            unreachable!("there is always another gateway")
        };
        let Ok(answer) = timeout(manner.patience, answer).await else {
            assert!(manner.patience < PATIENCE, "{}: no answer", self.name());
            figures.callers_killed.one();
            return (Told::Unknown, None);
        };
        let Ok(reply) = answer else {
            figures.broken.one();
            return (Told::Unknown, None);
        };
        let told = told(&reply);
        figures.answer(match &told {
            Told::Id(_) => "OK".to_owned(),
            _ => format!("{} {}", reply.reason(), outcome(&reply)),
        });
        (told, key_of(&reply))
    }

    fn learn(&mut self, (told, key): (Told, Option<String>)) {
        self.tries += 1;
        let name = self.name();
        if let Some(key) = key {
            let first = self.ending.key.get_or_insert(key.clone());
            assert_eq!(*first, key, "{name} has two keys");
            // Who has been given a key repeats with it, sooner or later.
            if self.same.is_none() || !self.is_proxied && self.draws.one_in(4) {
                self.same = Some(("idempotency-key", key));
            }
        }
        match told {
            Told::Id(id) => {
                assert!(self.is_valid, "{name} was made as {id}");
                let first = self.ending.id.get_or_insert(id.clone());
                assert_eq!(*first, id, "{name} was made twice");
            }
            Told::Rejected => {
                assert!(!self.is_valid, "{name} was not rejected by Polytomic");
                self.ending.is_rejected = true;
            }
            Told::Unknown => self.ending.in_doubt = true,
            Told::NotSent if self.is_proxied => self.ending.in_doubt = false,
            Told::NotSent => {}
        }
    }

    /// Repeats the create until it is settled, as whoever is in doubt is advised
    /// to. Returns the id if there is one.
    pub(super) async fn find(&self, gateway: SocketAddr) -> Option<String> {
        /// A machine that is busy elsewhere may let one run out of time.
        const MOST: usize = 10;

        let mut last = String::new();
        for _ in 0..MOST {
            let reply = self.caller(gateway).send().await;
            match told(&reply) {
                Told::Id(id) => return Some(id),
                Told::Rejected => return None,
                Told::NotSent | Told::Unknown => last = reply.message(),
            }
        }
        panic!("{}: {last}", self.name())
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
        let caller = match &self.same {
            Some((name, value)) => caller.with(name, value),
            None => caller,
        };
        if self.is_proxied && self.tries > 0 {
            caller.with("x-envoy-attempt-count", &(self.tries + 1).to_string())
        } else {
            caller
        }
    }
}

/// Reads what a reply says. Every error says what became of the create, and with
/// which key.
fn told(reply: &Reply) -> Told {
    if reply.code() == Code::Ok {
        let response: CreatePartnerSharedConnectionResponse = reply.decode();
        return Told::Id(response.connection.unwrap().id);
    }
    // The sandbox says so of itself if it fails, and the dead do not speak.
    assert_ne!(reply.reason(), "UPSTREAM_ERROR");
    let outcome = outcome(reply);
    let key = reply.error_metadata("idempotencyKey");
    assert_eq!(key, key_of(reply), "{outcome}");
    assert!(key.is_some(), "{outcome}");
    match outcome.as_str() {
        "UNKNOWN" => Told::Unknown,
        "NOT_SENT" => Told::NotSent,
        "REJECTED" => Told::Rejected,
        other => panic!("{other}: {}", reply.message()),
    }
}

fn key_of(reply: &Reply) -> Option<String> {
    reply.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned())
}

fn outcome(reply: &Reply) -> String {
    reply.error_metadata("outcome").expect("an error tells the outcome")
}

/// Tells a gateway that is not there from one that has gone away.
fn is_refused(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
