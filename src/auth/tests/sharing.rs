//! Many callers at once: one look-up, no crossing, and no one's end is another's.

use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;

/// Starts `count` callers with the same key and lets them run until they wait.
async fn callers(
    auth: &Arc<Authenticator>,
    key: &'static str,
    count: usize,
) -> JoinSet<Result<Credentials, Error>> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let auth = Arc::clone(auth);
        callers.spawn(async move { auth.credentials(&bearer(key)).await });
    }
    while auth.stats().misses + auth.stats().shared < count as u64 {
        tokio::task::yield_now().await;
    }
    callers
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_callers_make_one_look_up() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    let callers = callers(&auth, "one", 1_000).await;
    polytomic.gate.add_permits(1);
    let answers = callers.join_all().await;
    let generation = answers[0].as_ref().unwrap().generation();
    assert!(answers.iter().all(|a| a.as_ref().unwrap().generation() == generation));
    assert_eq!(polytomic.asked(), 1);
    assert_eq!((auth.stats().misses, auth.stats().shared), (1, 999));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_first_callers_on_four_threads_make_one_look_up() {
    let polytomic = Polytomic::new();
    let auth = Arc::new(passthrough(&polytomic).await);
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let auth = Arc::clone(&auth);
        callers.spawn(async move { auth.credentials(&bearer("one")).await });
    }
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_does_not_fail_those_who_wait_with_it() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    let mut leader = callers(&auth, "one", 1).await;
    polytomic.arrived.notified().await;
    let mut followers = JoinSet::new();
    for _ in 0..10 {
        let auth = Arc::clone(&auth);
        followers.spawn(async move { auth.credentials(&bearer("one")).await });
    }
    while auth.stats().shared < 10 {
        tokio::task::yield_now().await;
    }
    leader.shutdown().await;
    polytomic.gate.add_permits(1);
    assert!(followers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_everyone_has_left_but_not_for_ever() {
    let polytomic = Polytomic::new();
    polytomic.script("hangs", Script::Hangs);
    polytomic.script("waits", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    callers(&auth, "waits", 1).await.shutdown().await;
    polytomic.arrived.notified().await;
    polytomic.gate.add_permits(1);
    assert!(auth.credentials(&bearer("waits")).await.is_ok());
    assert_eq!(polytomic.asked(), 1, "the look-up of the caller that left is used");

    let before = auth.stats().misses + auth.stats().shared;
    let left = Arc::clone(&auth);
    let left = tokio::spawn(async move { left.credentials(&bearer("hangs")).await });
    while auth.stats().misses + auth.stats().shared == before {
        tokio::task::yield_now().await;
    }
    left.abort();
    polytomic.arrived.notified().await;
    advance(SECOND * 3).await;
    while auth.stats().look_ups_failed == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_look_up_reaches_everyone_and_is_not_remembered() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Panics);
    let auth = Arc::new(passthrough(&polytomic).await);
    let answers = callers(&auth, "one", 100).await.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Internal))));
    polytomic.script("one", Script::Class(Class::Partner));
    assert!(auth.credentials(&bearer("one")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_by_those_who_waited_and_by_no_one_after() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Hangs);
    let auth = Arc::new(passthrough(&polytomic).await);
    let answers = callers(&auth, "one", 100).await.join_all().await;
    assert!(answers.iter().all(|a| a.as_ref().unwrap().identity().is_none()));
    assert_eq!(polytomic.asked(), 1);
    polytomic.script("one", Script::Class(Class::Partner));
    assert!(auth.credentials(&bearer("one")).await.unwrap().identity().is_some());
}

fn check_own(credentials: &Credentials, key: &str) {
    assert_eq!(sent(credentials), format!("Bearer {key}"));
    let name = credentials.identity().unwrap().organization_name.clone();
    assert_eq!(name, Some(organization(key)));
}

#[tokio::test(start_paused = true)]
async fn two_callers_interleaved_never_get_each_others_credentials() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let (one, two) = (bearer("one"), bearer("two"));
    for round in 0..10_000 {
        let (first, second) =
            tokio::join!(auth.credentials(&one), auth.credentials(&two));
        let (first, second) = (first.unwrap(), second.unwrap());
        check_own(&first, "one");
        check_own(&second, "two");
        if round % 100 == 99 {
            advance(SECOND * 61).await;
        }
    }
    assert_eq!(polytomic.asked(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_four_threads_never_get_each_others_credentials() {
    let polytomic = Polytomic::new();
    let mut settings = settings(Mode::Passthrough);
    settings.max_entries = 2;
    settings.negative_ttl = Duration::ZERO;
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    let auth = Arc::new(auth);
    let mut callers = JoinSet::new();
    for key in ["one", "two", "three", "four"] {
        let auth = Arc::clone(&auth);
        callers.spawn(async move {
            for round in 0..2_500 {
                let credentials = auth.credentials(&bearer(key)).await.unwrap();
                check_own(&credentials, key);
                if round % 10 == 9 {
                    auth.rejected(&credentials).await;
                }
            }
        });
    }
    callers.join_all().await;
}
