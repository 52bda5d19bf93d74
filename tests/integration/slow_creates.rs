//! Creates that Polytomic works on for long: one request, as long as the deadline allows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use kit::{
    Caller, Fake, Gateway, Origin, Protocol,
    caller::ID,
    fake::{CREATED, Response, Script, Step},
    origin, over_both,
};
use polytomic_gateway::proto::CreatePartnerSharedConnectionRequest as Create;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::Code;

/// In real time: the timers of a paused clock would not be those of a slow create. Over
/// both protocols together, beside the other tests.
#[tokio::test]
async fn create_of_14_s_succeeds_once_within_28_s() {
    let create = async |protocol| {
        let slow = vec![Step::Pause(Duration::from_secs(14)), Step::Answer];
        let fake = Fake::playing(Script::new(protocol, vec![slow])).await;
        let gateway = Gateway::on(&fake).await;
        let reply =
            Caller::create(gateway.address).with("grpc-timeout", "28S").send().await;
        assert_eq!(reply.code(), Code::Ok, "{protocol}: {}", reply.message());
        assert!(fake.only().line.starts_with("POST "));
    };
    tokio::join!(create(Protocol::Http1), create(Protocol::Http2));
}

/// Without a budget of retries, 100 creates caused 600 requests.
#[tokio::test]
async fn creates_under_one_key_cause_few_requests_while_it_is_in_progress() {
    const CREATES: usize = 100;
    /// A fifth of the creates, and what a key has in addition, then and per second.
    const RETRIES: u64 = 20 + 30;
    const PER_SECOND: u64 = 3;

    over_both(async |protocol| {
        let posts = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&posts);
        let done = Arc::<AtomicUsize>::default();
        let origin = Origin::start(protocol, move |_path| {
            let (is_first, done) = (seen.fetch_add(1, SeqCst) == 0, Arc::clone(&done));
            async move {
                if is_first {
                    sleep(Duration::from_secs(2)).await;
                    done.store(1, SeqCst);
                }
                let mut response = origin::json(&CREATED.into(), true);
                if done.load(SeqCst) == 0 {
                    *response.status_mut() = http::StatusCode::CONFLICT;
                }
                response
            }
        })
        .await;
        let flags = ["--no-key-check", "--max-in-flight", "1000"];
        let gateway = Gateway::on_origin(&origin, &flags).await;
        let create =
            || Caller::create(gateway.address).with("idempotency-key", "one-key-1");
        let started = Instant::now();
        let creates: JoinSet<_> = (0..CREATES).map(|_| create().send()).collect();
        let replies = creates.join_all().await;
        assert!(replies.iter().any(|reply| reply.code() == Code::Ok));
        for reply in replies.iter().filter(|reply| reply.code() != Code::Ok) {
            assert_eq!(reply.reason(), "UPSTREAM_CONFLICT", "{}", reply.message());
            assert_eq!(reply.error_metadata("outcome").as_deref(), Some("UNKNOWN"));
            assert_eq!(reply.error_metadata("retryable").as_deref(), Some("true"));
        }
        let more = PER_SECOND * (1 + started.elapsed().as_secs());
        let most = CREATES as u64 + RETRIES + more;
        let posts = posts.load(SeqCst);
        assert!(posts as u64 <= most, "{posts} requests, not {most}");
    })
    .await;
}

/// A create that takes longer than an attempt. The gateway must not abandon it.
#[tokio::test]
async fn create_whose_body_was_sent_is_not_abandoned_for_another_attempt() {
    over_both(async |protocol| {
        let pause = Step::Pause(Duration::from_millis(1500));
        let slow = vec![pause, Step::Answer];
        let fake = Fake::playing(Script::new(protocol, vec![slow])).await;
        let flags = ["--timeout", "20", "--attempt-timeout", "0.5"];
        let gateway = Gateway::with(&fake, &flags).await;
        let reply = Caller::create(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        assert_eq!(fake.seen().len(), 1);

        let list = Caller::list(gateway.address).send().await;
        assert_eq!(list.code(), Code::Ok, "the last attempt may take longer");
        assert_eq!(fake.seen().len(), 4, "a list has three attempts");
    })
    .await;
}

/// As at Polytomic, where another request with the key of a create gets 409 until the
/// create ends. More than five waits, which was the limit once.
#[tokio::test]
async fn create_in_progress_elsewhere_is_awaited_until_it_ends() {
    over_both(async |protocol| {
        let in_progress = Step::Respond(Response::json(409, "{}"));
        let mut reactions = vec![vec![in_progress]; 7];
        reactions.push(vec![Step::Answer]);
        let fake = Fake::playing(Script::new(protocol, reactions)).await;
        let gateway = Gateway::with(&fake, &["--timeout", "60"]).await;
        tokio::time::pause();
        let reply = Caller::create(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        assert_eq!(fake.seen().len(), 8);
        tokio::time::resume();
    })
    .await;
}

/// One key's creates in progress and failing lists leave the retries of another key.
#[tokio::test]
async fn key_without_retries_left_takes_none_from_another() {
    const CALLS: usize = 60;
    const GREEDY: &str = "11111111-1111-4111-8111-111111111111";

    over_both(async |protocol| {
        let others = Arc::<AtomicUsize>::default();
        let origin = Origin::start(protocol, move |path| {
            let is_greedy = path.contains(GREEDY);
            let number = if is_greedy { 0 } else { others.fetch_add(1, SeqCst) };
            let (status, body) = match number {
                0..4 => (409, "{}"),
                4 => (200, CREATED),
                5 => (503, "{}"),
                _ => (200, r#"{"data":[]}"#),
            };
            async move {
                let mut response = origin::json(&body.into(), true);
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                response
            }
        })
        .await;
        let gateway = Gateway::on_origin(&origin, &["--no-key-check"]).await;
        let create = |connection: &str| {
            let message = Create {
                org_id: ID.to_owned(),
                connection_id: connection.to_owned(),
                child_organization_id: ID.to_owned(),
                name: None,
            };
            Caller::new(gateway.address, "CreatePartnerSharedConnection", &message)
                .with("idempotency-key", connection)
        };
        let greedy: JoinSet<_> = (0..CALLS).map(|_| create(GREEDY).send()).collect();
        let replies = greedy.join_all().await;
        assert!(replies.iter().all(|reply| reply.reason() == "UPSTREAM_CONFLICT"));
        let other = |caller: Caller| {
            caller.without("authorization").with("authorization", "Bearer another-key")
        };
        let reply = other(create(ID)).send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        let reply = other(Caller::list(gateway.address)).send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    })
    .await;
}
