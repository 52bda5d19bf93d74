//! Concurrent clients: they share one look-up, and never credentials of other keys.

use tokio::task::JoinSet;
use tokio::time::advance;

use super::verifier::LOOK_UP_TIMEOUT;
use super::*;

/// Starts `count` clients with the same key and waits until each has asked.
async fn clients(
    auth: &Arc<Authenticator>,
    key: &'static str,
    count: usize,
) -> JoinSet<Result<Credentials, Error>> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let auth = Arc::clone(auth);
        clients.spawn(async move { auth.credentials(&bearer(key), None).await });
    }
    while auth.stats().misses + auth.stats().shared < count as u64 {
        tokio::task::yield_now().await;
    }
    clients
}

#[tokio::test(start_paused = true)]
async fn thousand_concurrent_clients_make_one_look_up() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    let clients = clients(&auth, "one", 1_000).await;
    polytomic.permits.add_permits(1);
    let outcomes = clients.join_all().await;
    let generation = outcomes[0].as_ref().unwrap().generation();
    assert!(outcomes.iter().all(|a| a.as_ref().unwrap().generation() == generation));
    assert_eq!(polytomic.asked(), 1);
    assert_eq!((auth.stats().misses, auth.stats().shared), (1, 999));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_clients_on_four_threads_make_one_look_up() {
    let polytomic = Polytomic::new();
    let auth = Arc::new(passthrough(&polytomic).await);
    let mut clients = JoinSet::new();
    for _ in 0..1_000 {
        let auth = Arc::clone(&auth);
        clients.spawn(async move { auth.credentials(&bearer("one"), None).await });
    }
    assert!(clients.join_all().await.iter().all(Result::is_ok));
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_first_client_does_not_disturb_the_others() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    let mut leader = clients(&auth, "one", 1).await;
    polytomic.arrived.notified().await;
    let mut followers = JoinSet::new();
    for _ in 0..10 {
        let auth = Arc::clone(&auth);
        followers.spawn(async move { auth.credentials(&bearer("one"), None).await });
    }
    while auth.stats().shared < 10 {
        tokio::task::yield_now().await;
    }
    leader.shutdown().await;
    polytomic.permits.add_permits(1);
    assert!(followers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn look_up_outlives_its_clients_until_it_times_out() {
    let polytomic = Polytomic::new();
    polytomic.script("hangs", Script::Hangs);
    polytomic.script("waits", Script::Waits);
    let auth = Arc::new(passthrough(&polytomic).await);
    clients(&auth, "waits", 1).await.shutdown().await;
    polytomic.arrived.notified().await;
    polytomic.permits.add_permits(1);
    assert!(auth.credentials(&bearer("waits"), None).await.is_ok());
    assert_eq!(polytomic.asked(), 1, "the look-up of the cancelled client is used");

    let before = auth.stats().misses + auth.stats().shared;
    let left = Arc::clone(&auth);
    let left =
        tokio::spawn(async move { left.credentials(&bearer("hangs"), None).await });
    while auth.stats().misses + auth.stats().shared == before {
        tokio::task::yield_now().await;
    }
    left.abort();
    polytomic.arrived.notified().await;
    advance(LOOK_UP_TIMEOUT).await;
    while auth.stats().look_ups_failed == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_a_look_up_is_reported_to_every_waiter_and_not_cached() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Panics);
    let auth = Arc::new(passthrough(&polytomic).await);
    let outcomes = clients(&auth, "one", 100).await.join_all().await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::Internal))));
    polytomic.script("one", Script::Class(Class::Partner));
    assert!(auth.credentials(&bearer("one"), None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn failed_look_up_is_shared_by_its_waiters() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Hangs);
    let auth = Arc::new(passthrough(&polytomic).await);
    let outcomes = clients(&auth, "one", 100).await.join_all().await;
    assert!(outcomes.iter().all(|a| a.as_ref().unwrap().identity().is_none()));
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn concurrent_401s_make_one_look_up() {
    let polytomic = Polytomic::new();
    let auth = Arc::new(passthrough(&polytomic).await);
    let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
    polytomic.script("one", Script::Waits);
    let mut rejected = JoinSet::new();
    for _ in 0..100 {
        let (auth, credentials) = (Arc::clone(&auth), credentials.clone());
        rejected.spawn(async move { auth.rejected(&credentials).await });
    }
    while polytomic.asked() < 2 {
        tokio::task::yield_now().await;
    }
    // Meanwhile the key is in use.
    let now = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!(now.generation(), credentials.generation());
    polytomic.permits.add_permits(1);
    assert!(rejected.join_all().await.iter().all(Option::is_none));
    assert_eq!(polytomic.asked(), 2);
    assert!(auth.credentials(&bearer("one"), None).await.is_ok());
}

fn check_own(credentials: &Credentials, key: &str) {
    assert_eq!(sent(credentials), format!("Bearer {key}"));
    let name = credentials.identity().unwrap().organization_name.clone();
    assert_eq!(name, Some(organization(key)));
}

#[tokio::test(start_paused = true)]
async fn interleaved_clients_get_their_own_credentials() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let (one, two) = (bearer("one"), bearer("two"));
    for round in 0..10_000 {
        let (first, second) =
            tokio::join!(auth.credentials(&one, None), auth.credentials(&two, None));
        let (first, second) = (first.unwrap(), second.unwrap());
        check_own(&first, "one");
        check_own(&second, "two");
        if round % 100 == 99 {
            advance(SECOND * 61).await;
            drop(tokio::join!(
                auth.credentials(&one, None),
                auth.credentials(&two, None)
            ));
            // The look-ups in the background end.
            tokio::time::sleep(SECOND).await;
        }
    }
    assert_eq!(polytomic.asked(), 202);
}

/// Four clients use 12,000 keys, so that entries are also evicted, and every tenth key is
/// rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_on_four_threads_get_their_own_credentials() {
    const KEYS: u64 = 3_000;

    let polytomic = Polytomic::new();
    let auth = Arc::new(passthrough(&polytomic).await);
    let mut clients = JoinSet::new();
    for client in ["one", "two", "three", "four"] {
        let (auth, polytomic) = (Arc::clone(&auth), Arc::clone(&polytomic));
        clients.spawn(async move {
            for number in 0..KEYS {
                let key = format!("{client}-{number}");
                let credentials = auth.credentials(&bearer(&key), None).await.unwrap();
                check_own(&credentials, &key);
                if number % 10 == 9 {
                    polytomic.script(&key, Script::Unknown);
                    auth.rejected(&credentials).await;
                    // The full cache may not have kept the rejection.
                    match auth.credentials(&bearer(&key), None).await {
                        Ok(credentials) => check_own(&credentials, &key),
                        Err(error) => assert_eq!(error, REJECTED),
                    }
                }
            }
        });
    }
    clients.join_all().await;
    auth.verifier.run_pending_tasks().await;
    // On a slow machine, rejections end by themselves.
    let removed = auth.stats().invalidated_evicted + auth.stats().invalidated_expired;
    assert!(removed >= 4 * KEYS - cache::MAX_ENTRIES, "{removed}");
}
