#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::{runtime::Builder, task::yield_now};

use super::{
    super::{Capacities, Client, RpcReservation, Settings},
    *,
};

const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;

/// The connections of the model, and the RPCs on each: as many as may wait together.
const CONNECTIONS: usize = 4;
const RPCS: usize = 4;

/// Time that no response needs. The clock is paused: it only moves on if all wait.
const AGES: Duration = Duration::from_secs(3600);

fn capacities() -> Capacities {
    Capacities::new(&Settings {
        response_memory: 16 * MIB,
        max_in_flight: 1024,
        max_connections: 20,
    })
}

fn start(connection: &Capacities) -> RpcReservation {
    connection
        .received(connection.try_receive().unwrap())
        .start(Client::Connection)
        .unwrap()
}

fn later() -> Instant {
    Instant::now() + AGES
}

/// One response of the model.
#[derive(Debug, Clone)]
struct Plan {
    /// Bytes of its JSON.
    json: usize,
    states_length: bool,
    /// Bytes of its message.
    message: usize,
    /// Steps of others before each of its own.
    pauses: [u8; 3],
}

impl Plan {
    async fn run(&self, rpc: RpcReservation) -> Result<(), Exhausted> {
        let RpcReservation { response, .. } = rpc;
        let [arrive, read, unread] = self.pauses;
        let pause = async |steps| {
            for _ in 0..steps {
                yield_now().await;
            }
        };
        pause(arrive).await;
        let mut arrived = if self.states_length { self.json } else { 16 * KIB };
        loop {
            response.grow_to(2 * arrived, later()).await?;
            pause(read).await;
            if arrived >= self.json {
                break;
            }
            arrived = self.json.min(2 * arrived);
        }
        response.grow_to(self.json + self.message, later()).await?;
        response.hold_message(self.message, later()).await?;
        pause(unread).await;
        Ok(())
    }
}

/// Plans of responses with up to `most` bytes of JSON, and messages up to `percent` of
/// that.
fn plans(most: usize, percent: usize) -> impl Strategy<Value = Vec<Plan>> {
    let sizes = prop_oneof![1..64 * KIB, 64 * KIB..MIB, MIB..=most];
    let plan = (sizes, any::<bool>(), 0..=percent, any::<[u8; 3]>()).prop_map(
        |(json, states_length, percent, pauses)| {
            let message = (json * percent / 100).min(4 * MIB - json);
            Plan { json, states_length, message, pauses }
        },
    );
    prop::collection::vec(plan, CONNECTIONS * RPCS)
}

/// Runs the plans at the same time. Returns how each ended, and when the last did.
fn run(plans: Vec<Plan>) -> (Vec<Result<(), Exhausted>>, Duration) {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let started = Instant::now();
        let all = capacities();
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| all.on_connection()).collect();
        let responses = plans.into_iter().enumerate().map(|(index, plan)| {
            // Not in the task: an RPC that comes when nothing is free is rejected.
            let rpc = start(&connections[index % CONNECTIONS]);
            tokio::spawn(async move { plan.run(rpc).await })
        });
        let responses: Vec<_> = responses.collect();
        let mut results = Vec::new();
        for response in responses {
            results.push(response.await.unwrap());
        }
        let took = started.elapsed();
        // Nothing is left behind.
        let largest = all.limits.largest_after_waiting();
        let rpc = start(&all);
        assert!(rpc.response.grow_to(largest, later()).now_or_never().is_some());
        (results, took)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn all_responses_get_memory(plans in plans(2 * MIB, 100)) {
        let (results, _) = run(plans);
        prop_assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    #[test]
    fn no_response_waits_for_ever(plans in plans(2 * MIB, 200)) {
        let (_, took) = run(plans);
        // Each waits once for memory, and once more with its turn.
        prop_assert!(took <= 2 * AGES + Duration::from_secs(1), "{took:?}");
    }
}

/// Takes the shared memory of a connection until a response of `bytes` finds none.
fn fill(connection: &Capacities, bytes: usize) -> Vec<RpcReservation> {
    let rpcs = (0..).map(|_| start(connection));
    rpcs.take_while(|rpc| rpc.response.try_grow_to(bytes).is_ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn responses_get_memory_in_the_order_in_which_they_came() {
    let connection = capacities().on_connection();
    let mut full = fill(&connection, MIB);
    let waiting = [start(&connection), start(&connection), start(&connection)];
    let mut waits: Vec<_> =
        waiting.iter().map(|rpc| Box::pin(rpc.response.grow_to(MIB, later()))).collect();
    for wait in &mut waits {
        assert_eq!(wait.now_or_never(), None);
    }
    while !waits.is_empty() {
        full.pop();
        let mut first = waits.remove(0);
        for wait in &mut waits {
            assert_eq!(wait.now_or_never(), None);
        }
        assert_eq!((&mut first).now_or_never(), Some(Ok(())));
    }
}

/// Small responses that come and go may leave too little for a large one for ever.
#[tokio::test(start_paused = true)]
async fn response_that_others_overtake_gets_its_turn() {
    let all = capacities();
    let _small: Vec<_> = (0..4).map(|_| fill(&all.on_connection(), 200 * KIB)).collect();
    let until = Instant::now() + Duration::from_secs(5);
    for _ in 0..3 {
        let large = start(&all.on_connection());
        let bytes = all.limits.largest_shared;
        assert_eq!(large.response.grow_to(bytes, until).await, Ok(()));
    }
    let early = start(&all.on_connection());
    let expected = early.response.expect(MIB, until).await;
    assert_eq!(expected, Err(Exhausted::ResponseMemory), "it has not arrived");
}

#[tokio::test(start_paused = true)]
async fn wait_ends_in_time_and_leaves_the_queue() {
    let connection = capacities().on_connection();
    let mut full = fill(&connection, MIB);
    let turn = Arc::clone(&connection.limits.turn);
    let _turn = turn.try_acquire_many_owned(connection.limits.turn_units).unwrap();
    let late = start(&connection);
    let until = Instant::now() + Duration::from_secs(5);
    let waited = late.response.grow_to(MIB, until).await;
    assert_eq!(waited, Err(Exhausted::ResponseMemory));
    assert_eq!(Instant::now().duration_since(until).as_secs(), 0);
    full.pop();
    let next = start(&connection);
    assert_eq!(next.response.try_grow_to(MIB), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn number_of_waiting_responses_is_limited() {
    let connection = capacities().on_connection();
    let waiting: Vec<_> = (0..16).map(|_| start(&connection)).collect();
    let _full = fill(&connection, MIB);
    let mut waits: Vec<_> =
        waiting.iter().map(|rpc| Box::pin(rpc.response.grow_to(MIB, later()))).collect();
    let ended = waits.iter_mut().filter_map(FutureExt::now_or_never);
    let ended: Vec<_> = ended.collect();
    assert!((1..16).contains(&ended.len()), "{ended:?}");
    assert!(ended.iter().all(|ended| *ended == Err(Exhausted::ResponseMemory)));
}

#[tokio::test(start_paused = true)]
async fn number_of_responses_that_wait_for_their_turn_is_limited() {
    let all = capacities();
    let connection = all.on_connection();
    let most = all.limits.largest_after_waiting();
    let waiting: Vec<_> = (0..16).map(|_| start(&connection)).collect();
    let mut waits: Vec<_> =
        waiting.iter().map(|rpc| Box::pin(rpc.response.grow_to(most, later()))).collect();
    let ended = waits.iter_mut().map(FutureExt::now_or_never);
    let ended: Vec<_> = ended.collect();
    assert_eq!(ended[0], Some(Ok(())));
    let rejected = ended.iter().filter(|ended| matches!(ended, Some(Err(_)))).count();
    assert!((1..15).contains(&rejected), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn expected_response_takes_no_turn() {
    let all = capacities();
    let (expected, arrived) = (start(&all), start(&all));
    let _full = fill(&all, MIB);
    let most = all.limits.largest_after_waiting();
    assert_eq!(expected.response.expect(most, later()).await, Ok(()));
    assert_eq!(arrived.response.grow_to(most, later()).now_or_never(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn stream_always_holds_its_window() {
    let all = capacities();
    let limits = &all.limits;
    let large = limits.largest_shared + limits.unit;
    let stream = start(&all);
    assert_eq!(stream.response.hold_window(large, later()).await, Ok(()));
    assert!(stream.response.held().reservation.bytes() >= large);
    let connection = all.on_connection();
    let _full = fill(&connection, MIB);
    let late = start(&connection);
    let rejected = late.response.hold_window(large, later()).now_or_never();
    assert_eq!(rejected, Some(Err(Exhausted::ResponseMemory)), "it is not counted");
    let largest = limits.largest_alone;
    let never = late.response.hold_window(largest + 1, later()).now_or_never();
    assert_eq!(never, Some(Err(Exhausted::TooLarge { largest })));
}

#[tokio::test(start_paused = true)]
async fn turn_ends_before_its_response_has_been_read() {
    let all = capacities();
    let (one, another) = (start(&all), start(&all));
    let mut full = fill(&all, MIB);
    // They have read a part, so they wait for their turn.
    for rpc in [&one, &another] {
        rpc.response.try_grow_to(100 * KIB).unwrap();
    }
    let _rest = fill(&all, 100 * KIB);
    let _unread = all.limits.messages.try_acquire_many(512).unwrap();
    one.response.grow_to(2 * MIB, later()).await.unwrap();
    let mut next = Box::pin(another.response.grow_to(2 * MIB, later()));
    assert_eq!((&mut next).now_or_never(), None);
    let mut message = Box::pin(one.response.hold_message(MIB, later()));
    assert_eq!((&mut message).now_or_never(), None, "the client's share is full");
    full.pop();
    assert_eq!(message.now_or_never(), Some(Ok(())));
    assert_eq!(next.now_or_never(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn unread_messages_of_turns_have_memory_of_their_own() {
    let all = capacities();
    let _full = fill(&all.on_connection(), MIB);
    let most = all.limits.largest_after_waiting();
    let rpcs = [start(&all), start(&all), start(&all)];
    let _rest = fill(&all, MIB);
    for rpc in &rpcs[..2] {
        assert_eq!(rpc.response.grow_to(most, later()).now_or_never(), Some(Ok(())));
        assert_eq!(rpc.response.hold_message(MIB, later()).now_or_never(), Some(Ok(())));
    }
    assert_eq!(rpcs[2].response.grow_to(most, later()).now_or_never(), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn message_that_finds_no_memory_ends_the_turn_in_time() {
    let all = capacities();
    let (one, another) = (start(&all), start(&all));
    let _full = fill(&all, MIB);
    let _unread = all.limits.messages.try_acquire_many(512).unwrap();
    let most = all.limits.largest_after_waiting();
    one.response.grow_to(most, later()).await.unwrap();
    let mut next = Box::pin(another.response.grow_to(most, later()));
    assert_eq!((&mut next).now_or_never(), None);
    let until = Instant::now() + Duration::from_secs(5);
    let held = one.response.hold_message(2 * MIB, until).await;
    assert_eq!(held, Err(Exhausted::ResponseMemory));
    assert_eq!(Instant::now().duration_since(until).as_secs(), 0);
    one.response.start_again();
    assert_eq!(next.now_or_never(), Some(Ok(())));
}

#[tokio::test]
async fn response_that_never_fits_is_rejected_immediately() {
    let rpc = start(&capacities());
    let largest = rpc.response.largest();
    let rejected = rpc.response.grow_to(largest + 4096, later()).now_or_never();
    assert_eq!(rejected, Some(Err(Exhausted::TooLarge { largest })));
}

#[tokio::test(start_paused = true)]
async fn metrics_have_what_is_held_and_each_wait() {
    let (all, metrics) = (capacities(), crate::telemetry::Metrics::new());
    all.register(&metrics);
    let value = |series: &str| {
        let page = metrics.render(false);
        let line = page.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    let used = || value("gateway_budget_used_bytes{budget=\"response_memory\"}");
    let waits = || value("gateway_budget_waits_total{budget=\"response_memory\"}");
    let total = value("gateway_budget_limit_bytes{budget=\"response_memory\"}");
    assert_eq!((used(), waits()), (0, 0));
    let connections: Vec<_> = (0..8).map(|_| all.on_connection()).collect();
    let holders: Vec<_> = connections.iter().map(start).collect();
    for holder in &holders[1..] {
        let more = || holder.response.held().reservation.bytes() + KIB;
        while holder.response.try_grow_to(more()).is_ok() {}
    }
    assert!(used() > total / 2, "{} of {total}", used());
    let wanted = all.limits.largest_shared;
    let response = Arc::clone(&holders[0].response);
    let mut waiting = Box::pin(response.grow_to(wanted, later()));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!((waits(), value("gateway_budget_used{budget=\"waiting\"}")), (1, 1));
    waiting.await.unwrap();
    drop((holders, response));
    assert_eq!((used(), waits()), (0, 1));
}
