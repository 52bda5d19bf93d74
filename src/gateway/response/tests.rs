#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    pin::pin,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION};

use super::*;
use crate::{
    auth::{Authenticator, Mode, Settings},
    budget::{self, Capacities, Client, KeyId, RejectedResponses, RpcReservation},
    contract::{Contract, DESCRIPTOR_SET},
    gateway::IdentityClient,
    upstream::{Holder, Request, Upstream},
};

const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                    ListPartnerSharedConnections";
const MIB: usize = 1 << 20;
const KEY: KeyId = KeyId(1);

/// What an RPC has when its response arrives.
struct Setting {
    rpc: Arc<Rpc>,
    credentials: Credentials,
    rejected: RejectedResponses,
    reservation: RpcReservation,
}

impl Setting {
    async fn new() -> Self {
        let upstream = Upstream::in_memory(|_| http::Response::default(), 1024);
        let look_up = IdentityClient::new(upstream, HeaderValue::from_static("v"));
        let mut settings = Settings::new(Mode::Passthrough, "u", "v");
        settings.verify = false;
        let authenticator = Authenticator::start(settings, look_up).await.unwrap();
        let key = "Bearer a-key".parse().unwrap();
        let metadata = HeaderMap::from_iter([(AUTHORIZATION, key)]);
        let capacities = Capacities::new(&budget::Settings {
            response_memory: 64 * MIB,
            max_in_flight: 1024,
            max_connections: 20,
        });
        let received = capacities.received(capacities.try_receive().unwrap());
        Self {
            rpc: Arc::clone(
                Contract::compile(DESCRIPTOR_SET).unwrap().rpc(LIST).unwrap(),
            ),
            credentials: authenticator.credentials(&metadata, None).await.unwrap(),
            rejected: RejectedResponses::new(),
            reservation: received.start(Client::Connection).unwrap(),
        }
    }

    /// Has a translator receive a response with this body.
    async fn receive(&self, status: StatusCode, body: String) -> Result<Bytes, Failure> {
        self.receive_by(&Translator::new(), status, body).await
    }

    async fn receive_by(
        &self,
        translator: &Translator,
        status: StatusCode,
        body: String,
    ) -> Result<Bytes, Failure> {
        let body = Bytes::from(body);
        let respond = move |_: &Request| {
            let mut response = http::Response::new(body.clone());
            *response.status_mut() = status;
            response
        };
        let upstream = Upstream::in_memory(respond, 16 * MIB);
        let later = Instant::now() + Duration::from_secs(60);
        let memory = &self.reservation.response;
        let memory = self.rejected.reserve(memory, "request", KEY, later);
        let memory = memory.await.unwrap();
        let request = Request {
            method: Method::GET,
            path_and_query: "/".to_owned(),
            headers: Vec::new(),
            authorization: None,
            body: None,
            cancel: None,
        };
        let admission = upstream.admit(Holder::of_client(KEY, true)).unwrap();
        let exchange = admission.send(&request, later, later, later, &memory).await?;
        translator.receive(&self.rpc, exchange, &self.credentials, &memory, later).await
    }
}

fn list(length: usize) -> String {
    let one = r#"{"id":"0123456789abcdef","configuration":{"n":[0,0,0,0]}}"#;
    format!(r#"{{"data":[{}]}}"#, vec![one; length].join(","))
}

/// Runs a future alone. Returns its output, and how often it let other tasks run.
fn count_turns<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    for turns in 0.. {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            return (output, turns);
        }
    }
    unreachable!("it ends")
}

#[tokio::test]
async fn each_turn_translates_at_most_64_kib() {
    for length in [1, 100, 5000, 50_000] {
        let setting = Setting::new().await;
        let body = list(length);
        let bytes = body.len();
        let whole =
            transcode::response(&setting.rpc.response, body.as_bytes(), 8 * bytes);
        let (message, turns) = count_turns(setting.receive(StatusCode::OK, body));
        assert_eq!(message.unwrap(), whole.unwrap());
        assert!(turns >= bytes / TURN, "{turns} for {bytes} bytes");
        assert!(turns <= 2 * bytes / TURN, "{turns} for {bytes} bytes");
    }
}

#[tokio::test]
async fn only_a_long_response_waits_for_a_turn() {
    let setting = Setting::new().await;
    let translator = Translator::new();
    let most = u32::try_from(translator.turns.available_permits()).unwrap();
    let taken = translator.turns.try_acquire_many(most).unwrap();
    let mut context = Context::from_waker(Waker::noop());

    let short = setting.receive_by(&translator, StatusCode::OK, list(100));
    assert_eq!(count_turns(short).1, 0);
    let body = list(5000);
    assert!(body.len() > 2 * TURN);
    let mut long = pin!(setting.receive_by(&translator, StatusCode::OK, body));
    for _ in 0..1000 {
        assert!(long.as_mut().poll(&mut context).is_pending());
    }
    drop(taken);
    let (message, turns) = count_turns(long);
    message.unwrap();
    assert!(turns <= 8, "{turns}");
}

/// On one thread, where all have the same queue. The runtime does not keep the order of
/// tasks that yield, so there may be a second turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_task_waits_for_two_turns_at_most() {
    const RESPONSES: usize = 64;
    const TURNS: usize = 20;

    let translator = Translator { turns: Semaphore::new(1), ..Translator::new() };
    let translator = Arc::new(translator);
    let taken = Arc::new(AtomicUsize::new(0));
    for _ in 0..RESPONSES {
        let (translator, taken) = (Arc::clone(&translator), Arc::clone(&taken));
        tokio::spawn(async move {
            for _ in 0..TURNS {
                let turn = translator.turn(true).await;
                taken.fetch_add(1, SeqCst);
                drop(turn);
            }
        });
    }
    let other = tokio::spawn(async move {
        let (mut before, mut most) = (taken.load(SeqCst), 0);
        while before < RESPONSES * TURNS {
            yield_now().await;
            let now = taken.load(SeqCst);
            most = most.max(now - before);
            before = now;
        }
        most
    });
    let most = other.await.unwrap();
    assert!(most <= 2, "{most} of {RESPONSES} turns");
}

#[tokio::test]
async fn first_problem_of_a_list_is_its_failure() {
    let setting = Setting::new().await;
    for (from, to, error) in [
        (
            r#"{"id":"0123"#,
            r#"{"id":1,"x":"0123"#,
            "data[0].id: expected a string, found a number",
        ),
        ("]}}]}", "]}}]", "the JSON ends early"),
        ("]}}]}", "]}}]}{", "the JSON has more text after its end"),
    ] {
        let body = list(5000);
        let (before, after) = body.split_at(body.find(from).unwrap());
        let body = format!("{before}{to}{}", &after[from.len()..]);
        let failure = setting.receive(StatusCode::OK, body).await.unwrap_err();
        let Failure::Response(problem) = failure else { panic!("{failure:?}") };
        assert!(problem.to_string().starts_with(error), "{problem}");
    }
}

/// The work of one worker thread, while another task has to run on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn work_that_cannot_be_divided_holds_up_no_other_task() {
    let done = tokio::spawn(async {
        let (send, receive) = mpsc::channel();
        tokio::spawn(async move { send.send(()).unwrap() });
        let translator = Translator::new();
        translator
            .work(TURN + 1, move || receive.recv_timeout(Duration::from_secs(60)))
            .await
    });
    assert_eq!(done.await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn half_of_the_processors_do_such_work_at_the_same_time() {
    let translator = Translator::new();
    let most = available_parallelism().map_or(1, usize::from).div_ceil(2);
    let held: Vec<_> =
        (0..most).map(|_| translator.threads.try_acquire().unwrap()).collect();
    let mut working = pin!(translator.work(TURN + 1, || ()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(working.as_mut().poll(&mut context).is_pending());
    assert_eq!(translator.work(TURN, || 1).await, 1, "small work does not wait");
    drop(held);
    working.await;
}

#[tokio::test]
async fn large_values_and_error_responses_are_read() {
    let setting = Setting::new().await;
    let id = "i".repeat(3 * MIB);
    let body = format!(r#"{{"data":[{{"id":"{id}"}}]}}"#);
    let message = setting.receive(StatusCode::OK, body).await.unwrap();
    assert!(message.len() > 3 * MIB);
    let body = format!(r#"{{"message":"{id}"}}"#);
    let failure = setting.receive(StatusCode::NOT_FOUND, body).await.unwrap_err();
    let Failure::ErrorResponse(response) = failure else { panic!("{failure:?}") };
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
