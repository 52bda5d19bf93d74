//! The gateway's own decisions, made by its own code: which key, whether to try again,
//! what to tell the client.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tonic_types::StatusExt;

use super::{
    replay::{failure, replay},
    scenario::{Fault, Ids, Proxy, Scenario},
    world::{Create, Ending, KeyId, Stream},
};
use crate::{
    contract::{Contract, DESCRIPTOR_SET, Rpc},
    gateway::{
        idempotency::{self, Key, Origin},
        metadata,
        metrics::{CountedRpc, RpcMetrics},
        record::Record,
        retry::Retries,
    },
};

/// More time than any delay.
const PLENTY: Duration = Duration::from_secs(30);

/// The decisions, remembered, since the search asks the same again and again.
pub(super) struct Rules<'a> {
    scenario: &'a Scenario,
    rpc: Arc<Rpc>,
    keys: RefCell<Vec<String>>,
    known: RefCell<HashMap<Stream, Known>>,
    verdicts: RefCell<HashMap<Case, Verdict>>,
}

/// What a decision depends on.
#[derive(PartialEq, Eq, Hash)]
struct Case {
    is_retry: bool,
    origin: Option<&'static str>,
    endings: Vec<Ending>,
}

/// What the gateway makes of the metadata of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The key and its origin, or `None` if the gateway rejects the RPC for want of one.
    pub(super) key: Option<(KeyId, Origin)>,
    is_retry: bool,
}

/// What the gateway decides after an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) may_retry: bool,
    pub(super) may_renew: bool,
    pub(super) status: Told,
}

/// What a client reads in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Told {
    pub(super) outcome: &'static str,
    pub(super) retryable: bool,
    /// Whether a retry policy may retry.
    pub(super) for_policies: bool,
    /// Whether the client is to list, and to use a new key for a retry.
    pub(super) wants_new_key: bool,
}

impl<'a> Rules<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
        let create = contract.rpcs().find(|rpc| rpc.binding.method == Method::POST);
        let rpc = contract.rpc(create.unwrap().path()).unwrap();
        Self {
            scenario,
            rpc: Arc::clone(rpc),
            keys: RefCell::default(),
            known: RefCell::default(),
            verdicts: RefCell::default(),
        }
    }

    /// Returns the number of a key.
    pub(super) fn number(&self, key: &str) -> KeyId {
        let mut keys = self.keys.borrow_mut();
        let known = keys.iter().position(|known| known == key);
        let number = known.unwrap_or_else(|| {
            keys.push(key.to_owned());
            keys.len() - 1
        });
        KeyId::try_from(number).unwrap()
    }

    /// Returns the origins of all keys so far.
    pub(super) fn origins(&self) -> BTreeSet<&'static str> {
        let known = self.known.borrow();
        let origins = known.values().filter_map(|known| Some(known.key?.1.as_str()));
        origins.collect()
    }

    /// Returns a client's own key for a create, the `nth` that it makes up.
    pub(super) fn own_key(&self, create: Create, nth: u8) -> KeyId {
        self.number(&format!("own-key-{create}-{nth}"))
    }

    /// Returns what the gateway makes of the metadata of a stream.
    pub(super) fn known(&self, stream: Stream) -> Known {
        if let Some(known) = self.known.borrow().get(&stream) {
            return *known;
        }
        let mut metadata = self.metadata(stream);
        let is_retry = metadata::is_retry(&metadata);
        match self.scenario.fault {
            Some(Fault::OldRule | Fault::MarkedRetriesAdmitted) => {
                metadata.remove("grpc-previous-rpc-attempts");
            }
            Some(Fault::PlaceholderAsSeed) => {
                metadata.insert("x-request-id", HeaderValue::from_static("dash"));
            }
            _ => {}
        }
        let key = idempotency::key(&metadata, b"", &self.rpc, b"one message").ok();
        let key = key.map(|key| {
            let value = match key.origin {
                Origin::Fresh => {
                    let Stream { create, call, attempt, sent, .. } = stream;
                    format!("fresh-key-{create}-{call}-{attempt}-{sent}")
                }
                Origin::Given | Origin::Derived => key.value.to_str().unwrap().to_owned(),
            };
            (self.number(&value), key.origin)
        });
        let known = Known { key, is_retry };
        self.known.borrow_mut().insert(stream, known);
        known
    }

    /// Returns the key that the next attempt carries.
    pub(super) fn key_of_attempt(
        &self,
        stream: Stream,
        endings: &[Ending],
    ) -> Option<KeyId> {
        let (key, _) = self.known(stream).key?;
        if self.scenario.fault == Some(Fault::KeyPerAttempt) && !endings.is_empty() {
            return Some(self.number(&format!("key-{key}-{}", endings.len())));
        }
        Some(key)
    }

    /// Decides what follows the last of the endings.
    pub(super) fn after(&self, stream: Stream, endings: &[Ending]) -> Verdict {
        let known = self.known(stream);
        let origin = known.key.map(|(_, origin)| origin);
        let case = Case {
            is_retry: known.is_retry,
            origin: origin.map(Origin::as_str),
            endings: endings.to_vec(),
        };
        if let Some(verdict) = self.verdicts.borrow().get(&case) {
            return *verdict;
        }
        let verdict = self.decide(self.metadata(stream), origin, endings);
        self.verdicts.borrow_mut().insert(case, verdict);
        verdict
    }

    fn decide(
        &self,
        mut metadata: HeaderMap,
        origin: Option<Origin>,
        endings: &[Ending],
    ) -> Verdict {
        let fault = self.scenario.fault;
        if fault == Some(Fault::MarksForgotten) {
            metadata.remove("grpc-previous-rpc-attempts");
            metadata.remove("x-envoy-attempt-count");
        }
        let version = HeaderValue::from_static("");
        let counted = CountedRpc::start(&RpcMetrics::unread(), Instant::now());
        let mut record = Record::new(&self.rpc, counted, None, &metadata, &version);
        record.key = origin.map(|origin| Key {
            value: HeaderValue::from_static("the-key-of-the-create"),
            origin: match fault {
                Some(Fault::OldRule | Fault::DerivedAsGiven) => Origin::Given,
                _ => origin,
            },
        });
        let retries = Retries::new(self.scenario.attempts);
        let mut retry = retries.first(false, None);
        let (mut may_retry, mut may_renew) = (false, false);
        for (index, ending) in endings.iter().enumerate() {
            let is_last = index + 1 == endings.len();
            if !is_last && fault == Some(Fault::DoubtForgotten) {
                continue;
            }
            let failure = failure(*ending, fault);
            replay(&mut record, *ending, &failure);
            may_renew = *ending == Ending::Unauthorized
                && (retry.may_renew(record.may_exist())
                    || fault == Some(Fault::RenewsInDoubt));
            if *ending == Ending::Unauthorized {
                may_retry = false;
                retry.renew();
            } else {
                let is_late = matches!(ending, Ending::Deadline | Ending::DeadlineUnsent);
                let left = if is_late { Duration::ZERO } else { PLENTY };
                may_retry = retry.delay(&failure, left, 0.0).is_some();
            }
        }
        let last = failure(*endings.last().unwrap(), fault);
        Verdict { may_retry, may_renew, status: read(&record.fail(last)) }
    }

    /// Returns the metadata that reach the gateway.
    fn metadata(&self, stream: Stream) -> HeaderMap {
        let Stream { create, call, attempt, sent, own_key } = stream;
        let mut metadata = HeaderMap::new();
        let mut set = |name, value: String| {
            let name = HeaderName::from_static(name);
            metadata.insert(name, HeaderValue::try_from(value).unwrap());
        };
        set("authorization", "Bearer a-key".to_owned());
        match self.scenario.ids {
            Ids::OfStream => {
                set("x-request-id", format!("stream-{create}-{call}-{attempt}"));
            }
            Ids::Placeholder => set("x-request-id", "-".to_owned()),
            Ids::None => {}
        }
        if let Some(key) = own_key {
            set("idempotency-key", self.keys.borrow()[usize::from(key)].clone());
        }
        if attempt > 0 {
            set("grpc-previous-rpc-attempts", attempt.to_string());
        }
        match self.scenario.proxy {
            Proxy::Counts => set("x-envoy-attempt-count", (sent + 1).to_string()),
            Proxy::ShowsItself => set("x-forwarded-proto", "http".to_owned()),
            Proxy::Hides => {}
        }
        metadata
    }
}

/// Reads a status as a client does.
fn read(status: &tonic::Status) -> Told {
    let info = status.get_details_error_info().unwrap();
    let outcomes = ["NOT_SENT", "REJECTED", "UNKNOWN"];
    let outcome =
        outcomes.into_iter().find(|outcome| info.metadata["outcome"] == *outcome);
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    Told {
        outcome: outcome.unwrap(),
        retryable: info.metadata["retryable"] == "true",
        for_policies: pushback.is_none_or(|pushback| pushback != "-1"),
        wants_new_key: status.message().contains("use a new idempotency key"),
    }
}
