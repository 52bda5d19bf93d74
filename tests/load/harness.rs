//! Measures what an attack costs the gateway and its other clients.
//!
//! The noise of a machine is as large as the effect, and comes and goes. So the harness
//! measures the latency of other clients in turns, without and with the attack, and
//! compares the medians of the turns: a disturbance spoils one turn of many.

use std::{cell::RefCell, fmt, net::SocketAddr, time::Duration};

use kit::process::Process;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    balanced::{BalancedClient, Outcome},
    environment::{ANY_PORT, start},
    isolated::IsolatedRuntime,
};

/// The maximum of memory that an attack may add, in KiB.
pub(crate) const MEMORY: u64 = 20 << 10;

/// RPCs of the other clients per second. More would saturate an unoptimised gateway.
const RATE: u32 = if cfg!(debug_assertions) { 200 } else { 1000 };

/// The number and the length of turns without the attack and with it. An attack of a
/// longer time has a turn of that time.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(500);

/// How often an attack is measured while other clients notice it.
const TRIALS: usize = 3;

/// The pause between turns.
const REST: Duration = Duration::from_millis(100);

/// A p99 up to this is noise: a thread may wait for a time slice of the scheduler and
/// for the tick of a timer.
const NOISE: Duration = Duration::from_millis(5);

/// An attack, and its limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack<'a> {
    pub(crate) what: &'a str,
    /// The flags of the gateway.
    pub(crate) flags: &'a [&'a str],
    pub(crate) length: Duration,
    pub(crate) times: usize,
    /// The maximum of added memory, in KiB.
    pub(crate) memory: u64,
}

impl<'a> Attack<'a> {
    /// Returns an attack that lasts one turn and is repeated.
    pub(crate) fn of(what: &'a str) -> Self {
        Self { what, flags: &[], length: TURN, times: TURNS, memory: MEMORY }
    }
}

/// The processes and clients of a measurement, and the attacked gateway.
pub(crate) struct Harness<'a> {
    word: &'a str,
    upstream: String,
    _upstream: IsolatedRuntime,
    /// Promises that were not kept.
    broken: RefCell<Vec<String>>,
}

impl<'a> Harness<'a> {
    /// Starts an upstream, for the attacks whose name contains a word.
    pub(crate) async fn set(
        word: &'a str,
        upstream: impl Future<Output = String> + Send + 'static,
    ) -> Self {
        // On one thread, small responses would wait for large ones.
        let runtime = IsolatedRuntime::start(2);
        let upstream = runtime.spawn(upstream).await.unwrap();
        Self { word, upstream, _upstream: runtime, broken: RefCell::default() }
    }

    /// Measures the cost of an attack; returns the result of each time. An attack that
    /// other clients notice is measured again, since noise passes.
    pub(crate) async fn attacked<F>(
        &self,
        attack: Attack<'_>,
        make: impl Fn(SocketAddr, Instant) -> F,
    ) -> Vec<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut results = Vec::new();
        if !attack.what.contains(self.word) {
            return results;
        }
        let mut noticed = String::new();
        for _ in 0..TRIALS {
            let cost = self.measure(attack, &make, &mut results).await;
            self.record(attack, &cost);
            if !cost.is_noticed() {
                return results;
            }
            noticed = format!("{}: p99 {} → {}", attack.what, cost.usual, cost.attacked);
        }
        self.check(false, || noticed);
        results
    }

    /// Measures an attack on a separate gateway: a second attack would reuse the memory
    /// of the first.
    async fn measure<F>(
        &self,
        attack: Attack<'_>,
        make: &impl Fn(SocketAddr, Instant) -> F,
        results: &mut Vec<F::Output>,
    ) -> Cost
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let gateway = start(ANY_PORT, &self.upstream, attack.flags).await;
        let others = Others::of(&gateway).await;
        let runtime = IsolatedRuntime::start(1);
        let (mut usual, mut attacked) = (Turns::default(), Turns::default());
        let before = gateway.resident_memory().unwrap();
        for _ in 0..attack.times {
            for _ in 0..TURNS.div_ceil(attack.times) {
                sleep(REST).await;
                usual.add(others.call(RATE, sleep(TURN)).await);
            }
            let (over, is_over) = watch::channel(());
            let attacking = make(gateway.address, Instant::now() + attack.length);
            let attacking = runtime.spawn(async {
                let result = attacking.await;
                drop(over);
                result
            });
            while !attacking.is_finished() {
                let mut is_over = is_over.clone();
                let until = async move { timeout(3 * TURN, is_over.changed()).await };
                attacked.add(others.call(RATE, until).await);
            }
            results.push(attacking.await.unwrap());
        }
        let memory = gateway.peak_memory().unwrap().saturating_sub(before) / 1024;
        Cost { usual, attacked, memory }
    }

    fn record(&self, attack: Attack<'_>, cost: &Cost) {
        let (what, most) = (attack.what, attack.memory);
        let Cost { usual, attacked, memory } = cost;
        println!("floods: {what}: p99 {usual} → {attacked}, memory + {memory} KiB");
        let failed = attacked.failed.len();
        self.check(failed == 0, || {
            format!("{what}: {failed} RPCs failed, the first: {}", attacked.failed[0])
        });
        self.check(*memory <= most, || format!("{what}: memory + {memory} KiB > {most}"));
    }

    /// Records a broken promise. The other attacks are measured anyway.
    pub(crate) fn check(&self, kept: bool, problem: impl FnOnce() -> String) {
        if !kept {
            self.broken.borrow_mut().push(problem());
        }
    }

    /// Returns the promises that were not kept.
    pub(crate) fn broken(self) -> Vec<String> {
        self.broken.into_inner()
    }
}

/// Other clients of a gateway, which should not notice an attack on it.
struct Others<'a> {
    gateway: &'a Process,
    runtime: IsolatedRuntime,
    client: BalancedClient,
}

impl<'a> Others<'a> {
    async fn of(gateway: &'a Process) -> Self {
        let (runtime, address) = (IsolatedRuntime::start(1), gateway.address);
        let client = async move {
            let client = BalancedClient::new(&[address]);
            client.ready(0).await;
            client
        };
        let client = runtime.spawn(client).await.unwrap();
        let others = Self { gateway, runtime, client };
        // The process takes its memory for RPCs now, and for more of them than later,
        // so that this memory does not count as the attack's.
        others.call(2 * RATE, sleep(TURN)).await;
        others
    }

    async fn call(
        &self,
        rate: u32,
        until: impl Future<Output: Send> + Send + 'static,
    ) -> Turn {
        let (started, worked) = (Instant::now(), self.gateway.processor_time().unwrap());
        let client = self.client.clone();
        let calls = async move { client.call(rate, until).await };
        let outcome = self.runtime.spawn(calls).await.unwrap();
        let worked = self.gateway.processor_time().unwrap().saturating_sub(worked);
        Turn { outcome, took: started.elapsed(), worked }
    }
}

/// The cost of an attack.
struct Cost {
    usual: Turns,
    attacked: Turns,
    /// In KiB.
    memory: u64,
}

impl Cost {
    /// Reports whether other clients noticed the attack. An unoptimised gateway saturates
    /// the processors, so its latency says nothing.
    fn is_noticed(&self) -> bool {
        !cfg!(debug_assertions) && self.attacked.p99() > NOISE.max(2 * self.usual.p99())
    }
}

struct Turn {
    outcome: Outcome,
    took: Duration,
    /// The processor time of the gateway.
    worked: Duration,
}

/// The measurements of some turns.
#[derive(Debug, Default)]
struct Turns {
    /// The 99th percentile of each turn, in order.
    p99s: Vec<Duration>,
    failed: Vec<String>,
    took: Duration,
    worked: Duration,
}

impl Turns {
    fn add(&mut self, mut turn: Turn) {
        if !turn.outcome.took.is_empty() {
            self.p99s.push(turn.outcome.all_but_one_in(100));
            self.p99s.sort_unstable();
        }
        self.failed.append(&mut turn.outcome.failed);
        self.took += turn.took;
        self.worked += turn.worked;
    }

    fn p99(&self) -> Duration {
        self.p99s[self.p99s.len() / 2]
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.p99s[0], self.p99s[self.p99s.len() - 1]);
        let processors = self.worked.as_secs_f64() / self.took.as_secs_f64();
        write!(
            formatter,
            "{:.1?} ({least:.1?} to {most:.1?}; {processors:.2} processors)",
            self.p99()
        )
    }
}
