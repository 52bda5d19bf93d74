//! The promise: no share is lost and none is made twice, whatever fails.
//!
//! Many callers create shares through two gateways, and send a create again when
//! it fails, as a mesh does (same `x-request-id`) or as a careful caller does
//! (same `idempotency-key`). Meanwhile the sandbox loses, delays, doubles and
//! misanswers requests, the way to it is cut, gateways are killed and replaced,
//! and callers hang up. In the end the sandbox must hold what callers were told.
//!
//! `just exactly-once` does it with more creates.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use polytomic_gateway::{
    contract::DESCRIPTOR_SET,
    proto::{
        CreatePartnerSharedConnectionRequest, CreatePartnerSharedConnectionResponse,
    },
    sandbox::{Faults, Handle, Sandbox, seed},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tonic::Code;

use crate::support::{Caller, Gateway, caller::Reply, relay::Relay, settings};

/// The creates of a plain test run. `EXACTLY_ONCE_CREATES` asks for another number.
const CREATES: usize = 400;

/// Callers at a time.
const CALLERS: usize = 48;

/// How often a caller sends a create at most.
const MOST_SENDS: usize = 6;

/// Limits that suit the sandbox, which answers within a millisecond, and the
/// delays of its faults.
const FLAGS: [&str; 5] =
    ["--no-key-check", "--timeout", "2", "--attempt-timeout", "0.15"];
const LONGEST_DELAY: Duration = Duration::from_millis(400);

/// Longer than everything takes on a busy machine.
const LONG: Duration = Duration::from_secs(600);

/// What stands between the callers and the sandbox.
struct Scene {
    gateways: Mutex<[Option<Gateway>; 2]>,
    addresses: Mutex<[SocketAddr; 2]>,
    url: String,
    figures: Figures,
}

/// What happened, to be sure that the test tests something.
#[derive(Default)]
struct Figures {
    sends: AtomicUsize,
    told: AtomicUsize,
    unknown: AtomicUsize,
    nothing: AtomicUsize,
    found: AtomicUsize,
    broken: AtomicUsize,
    hung_up: AtomicUsize,
    gateways: AtomicUsize,
    cuts: AtomicUsize,
    codes: Mutex<HashMap<String, usize>>,
}

/// One share that somebody wants.
struct Create {
    number: usize,
    /// The metadata that is the same whenever it is sent.
    same: [(&'static str, String); 1],
}

/// How a create ended for its caller.
struct Ending {
    id: Option<String>,
    /// Whether any of the RPCs may have had an effect, as far as the caller knows.
    in_doubt: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_create_makes_one_share_whatever_fails() {
    let creates = setting("EXACTLY_ONCE_CREATES", CREATES as u64);
    let seed = setting("EXACTLY_ONCE_SEED", 20_250_918);
    let run = run(usize::try_from(creates).unwrap(), seed);
    let figures = timeout(LONG, run).await.expect("it ends");
    report(&format!("seed {seed}, {creates} creates: {figures}"));
}

fn setting(name: &str, otherwise: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test has no flags")]
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[expect(clippy::print_stdout, reason = "the figures are what the long run is for")]
fn report(line: &str) {
    println!("{line}");
}

async fn run(count: usize, seed: u64) -> Figures {
    let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let handle = sandbox.handle();
    let mut relay = Relay::start(sandbox.local_addr()).await;
    let sandbox = tokio::spawn(sandbox.run(std::future::pending()));
    let before = handle.shares().len();
    handle.set_faults(Some(Faults { seed, percent: 50, delay: LONGEST_DELAY }));

    let scene = Arc::new(Scene::start(relay.url()).await);
    let endings = everyone(&scene, &mut relay, count, seed).await;

    handle.set_faults(None);
    handle.idle().await;
    let made = shares_by_name(&handle);
    for (create, ending) in &endings {
        judge(create, ending, &made, &scene).await;
    }
    let after = shares_by_name(&handle);
    let wanted =
        endings.iter().filter(|(_, ending)| ending.id.is_some() || ending.in_doubt);
    assert_eq!(after.len(), wanted.count(), "who asked again has got it");
    assert_eq!(handle.shares().len(), before + after.len());
    sandbox.abort();
    Arc::into_inner(scene).unwrap().figures
}

/// Has all creates made, while gateways and connections come and go.
async fn everyone(
    scene: &Arc<Scene>,
    relay: &mut Relay,
    count: usize,
    seed: u64,
) -> Vec<(Create, Ending)> {
    let next = Arc::new(AtomicUsize::new(0));
    let (ended, mut endings) = mpsc::channel(CALLERS);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (scene, next, ended) = (Arc::clone(scene), Arc::clone(&next), ended.clone());
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let create = Create::new(number, seed);
                let ending = create.make(&scene).await;
                ended.send((create, ending)).await.unwrap();
            }
        });
    }
    drop(ended);

    let mut all = Vec::with_capacity(count);
    while let Some(ending) = endings.recv().await {
        all.push(ending);
        match all.len() % 100 {
            20 | 70 => scene.replace_gateway().await,
            45 => {
                scene.figures.cuts.fetch_add(1, Ordering::Relaxed);
                relay.cut().await;
                // Gone until somebody has noticed.
                if let Some(ending) = endings.recv().await {
                    all.push(ending);
                }
                relay.mend().await;
            }
            _ => {}
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    all
}

/// Compares what a caller was told with what there is.
async fn judge(
    create: &Create,
    ending: &Ending,
    made: &HashMap<String, Vec<String>>,
    scene: &Scene,
) {
    let name = create.name();
    let ids = made.get(&name).map_or(&[][..], Vec::as_slice);
    assert!(ids.len() <= 1, "{name} was made {} times", ids.len());
    let figures = &scene.figures;
    if let Some(id) = &ending.id {
        assert_eq!(ids, [id.as_str()], "{name} is not what its caller was told");
        figures.told.fetch_add(1, Ordering::Relaxed);
    } else if ending.in_doubt {
        // The caller was given a key, or knows what it sent: that finds the share.
        let id = create.find(scene).await;
        assert!(ids.is_empty() || ids == [id.as_str()], "{name} was found as another");
        figures.unknown.fetch_add(1, Ordering::Relaxed);
        figures.found.fetch_add(ids.len(), Ordering::Relaxed);
    } else {
        assert!(ids.is_empty(), "{name} was made, and its caller told that it was not");
        figures.nothing.fetch_add(1, Ordering::Relaxed);
    }
}

fn shares_by_name(handle: &Handle) -> HashMap<String, Vec<String>> {
    let mut shares = HashMap::<_, Vec<_>>::new();
    for share in handle.shares() {
        if share.name.starts_with("create-") {
            shares.entry(share.name).or_default().push(share.id);
        }
    }
    shares
}

fn id_of(reply: &Reply) -> Option<String> {
    let is_ok = reply.code() == Code::Ok;
    is_ok.then(|| {
        let response: CreatePartnerSharedConnectionResponse = reply.decode();
        response.connection.unwrap().id
    })
}

impl Create {
    /// Repeats the create, as its caller was advised to, until it is told the id.
    async fn find(&self, scene: &Scene) -> String {
        /// A machine that is busy elsewhere may let one run out of time.
        const MOST: usize = 10;

        let mut told = String::new();
        for _ in 0..MOST {
            let reply = self.caller(scene.address(0)).send().await;
            match id_of(&reply) {
                Some(id) => return id,
                None => told = reply.message(),
            }
        }
        panic!("{}: {told}", self.name())
    }

    fn new(number: usize, seed: u64) -> Self {
        let id = format!("create-{seed}-{number}");
        let name =
            if number.is_multiple_of(2) { "x-request-id" } else { "idempotency-key" };
        Self { number, same: [(name, id)] }
    }

    fn name(&self) -> String {
        format!("create-{}", self.number)
    }

    fn caller(&self, address: SocketAddr) -> Caller {
        let message = CreatePartnerSharedConnectionRequest {
            org_id: seed::OWNER_ORGANIZATION.to_owned(),
            connection_id: seed::UNSHARED_CONNECTION.to_owned(),
            child_organization_id: seed::THIRD_CHILD_ORGANIZATION.to_owned(),
            name: Some(self.name()),
        };
        let mut caller = Caller::new(address, "CreatePartnerSharedConnection", &message);
        for (name, value) in &self.same {
            caller = caller.with(name, value);
        }
        caller
    }

    /// Sends the create until it is made, or for as long as the caller cares.
    async fn make(&self, scene: &Scene) -> Ending {
        let mut ending = Ending { id: None, in_doubt: false };
        // Some give up early, and are left with a key.
        for sent in 0..=self.number % MOST_SENDS {
            let send = || self.send_once(scene, sent);
            // Some are sent twice at once, as a hedging proxy does.
            if self.number.is_multiple_of(8) {
                let (one, two) = tokio::join!(send(), send());
                ending.learn(one);
                ending.learn(two);
            } else {
                ending.learn(send().await);
            }
            if ending.id.is_some() {
                break;
            }
        }
        ending
    }

    async fn send_once(&self, scene: &Scene, sent: usize) -> Ending {
        let figures = &scene.figures;
        let in_doubt = Ending { id: None, in_doubt: true };
        figures.sends.fetch_add(1, Ordering::Relaxed);
        let sending = self.caller(scene.address(self.number + sent)).try_send();
        // Some hang up early.
        let patience = if (self.number + sent) % 16 == 3 {
            Duration::from_millis(self.number as u64 % 7)
        } else {
            LONG
        };
        let Ok(answer) = timeout(patience, sending).await else {
            figures.hung_up.fetch_add(1, Ordering::Relaxed);
            return in_doubt;
        };
        let Ok(reply) = answer else {
            figures.broken.fetch_add(1, Ordering::Relaxed);
            return in_doubt;
        };
        let id = id_of(&reply);
        let mut codes = figures.codes.lock().unwrap();
        let code = if id.is_some() { "OK".to_owned() } else { reply.reason() };
        *codes.entry(code).or_default() += 1;
        if id.is_some() {
            return Ending { id, in_doubt: false };
        }
        let outcome = reply.error_metadata("outcome").unwrap();
        let key = reply.error_metadata("idempotencyKey").unwrap();
        assert_eq!(reply.headers["idempotency-key"], key);
        match outcome.as_str() {
            "UNKNOWN" => in_doubt,
            "NOT_SENT" | "REJECTED" => Ending { id: None, in_doubt: false },
            other => panic!("{other}: {}", reply.message()),
        }
    }
}

impl Ending {
    fn learn(&mut self, other: Self) {
        self.in_doubt |= other.in_doubt;
        let Some(id) = other.id else { return };
        let first = self.id.get_or_insert(id.clone());
        assert_eq!(*first, id, "two ids for one create");
    }
}

impl Scene {
    async fn start(url: String) -> Self {
        let one = gateway(&url, 0).await;
        let two = gateway(&url, 1).await;
        Self {
            addresses: Mutex::new([one.address, two.address]),
            gateways: Mutex::new([Some(one), Some(two)]),
            url,
            figures: Figures::default(),
        }
    }

    fn address(&self, number: usize) -> SocketAddr {
        self.addresses.lock().unwrap()[number % 2]
    }

    /// Has another gateway take over, and kills the first, whatever it is doing.
    async fn replace_gateway(&self) {
        let place = self.figures.gateways.fetch_add(1, Ordering::Relaxed) % 2;
        let new = gateway(&self.url, place).await;
        self.addresses.lock().unwrap()[place] = new.address;
        let old = self.gateways.lock().unwrap()[place].replace(new);
        old.unwrap().kill();
    }
}

/// Starts a gateway; every second one leaves repeats to its callers.
async fn gateway(url: &str, place: usize) -> Gateway {
    let attempts = ["3", "1"][place];
    let more = ["--upstream-url", url, "--attempts", attempts];
    let flags: Vec<&str> = FLAGS.into_iter().chain(more).collect();
    Gateway::start(settings(&flags), DESCRIPTOR_SET).await
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |figure: &AtomicUsize| figure.load(Ordering::Relaxed);
        let mut codes: Vec<_> = self.codes.lock().unwrap().clone().into_iter().collect();
        codes.sort();
        write!(
            f,
            "{} told their id, {} left in doubt ({} of them made, all found), {} told that \
             nothing was made; {} RPCs sent, {} broken by a killed gateway, {} hung up; {} \
             gateways killed, the upstream cut off {} times; {codes:?}",
            get(&self.told),
            get(&self.unknown),
            get(&self.found),
            get(&self.nothing),
            get(&self.sends),
            get(&self.broken),
            get(&self.hung_up),
            get(&self.gateways),
            get(&self.cuts),
        )
    }
}
