//! Hits, misses, rejections and their expiry, for one client at a time.

use tokio::time::{Instant, advance};

use super::verifier::{CONFIRMED_TTL, LOOK_UP_TIMEOUT, NO_ANSWER_JITTER, NO_ANSWER_TTL};
use super::*;

#[tokio::test(start_paused = true)]
async fn second_rpc_with_a_key_needs_no_look_up() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let first = auth.credentials(&bearer("one"), None).await.unwrap();
    let second = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!(polytomic.asked(), 1);
    assert_eq!(first.generation(), second.generation());
    assert_eq!(sent(&second), "Bearer one");
    assert!(second.authorization().is_sensitive());
    let name = second.identity().unwrap().organization_name.clone();
    assert_eq!(name, Some(organization("one")));
    assert_eq!(second.owner(), CredentialOwner::Caller);
    let stats = auth.stats();
    assert_eq!((stats.misses, stats.hits, stats.look_ups), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn spellings_of_one_header_share_an_entry() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    for value in ["Bearer one", "bearer  one", " BEARER one\t"] {
        let value = HeaderValue::from_static(value);
        let metadata = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert_eq!(sent(&auth.credentials(&metadata, None).await.unwrap()), "Bearer one");
    }
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn identity_is_refreshed_in_the_background_after_60_s() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let first = auth.credentials(&bearer("one"), None).await.unwrap();
    for _ in 0..59 {
        advance(SECOND).await;
        auth.credentials(&bearer("one"), None).await.unwrap();
    }
    assert_eq!(polytomic.asked(), 1);
    advance(SECOND).await;
    let old = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!((polytomic.asked(), old.generation()), (1, first.generation()));
    let renewed = refreshed(&auth, &old).await;
    assert_eq!(polytomic.asked(), 2);
    assert_eq!(first.fingerprint(), renewed.fingerprint());
    auth.verifier.run_pending_tasks().await;
    assert_eq!(auth.stats().entries, 1);
}

/// Returns the credentials that follow `old`, once the look-up in the background ends.
async fn refreshed(auth: &Authenticator, old: &Credentials) -> Credentials {
    loop {
        let now = auth.credentials(&bearer("one"), None).await.unwrap();
        if now.generation() != old.generation() {
            return now;
        }
        tokio::task::yield_now().await;
    }
}

/// The key may have been upgraded meanwhile.
#[tokio::test(start_paused = true)]
async fn key_of_another_class_is_looked_up_again_after_5_s() {
    // Without an answer, Polytomic checks the key itself.
    for now in [Script::Class(Class::Partner), Script::Fails, Script::Hangs] {
        let polytomic = Polytomic::new();
        polytomic.script("one", Script::Class(Class::User));
        let auth = passthrough(&polytomic).await;
        let is_rejected = async || {
            let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
            credentials.check_partner().is_err()
        };
        assert!(is_rejected().await);
        polytomic.script("one", now);
        advance(4 * SECOND).await;
        assert!(is_rejected().await, "{now:?}");
        assert_eq!(polytomic.asked(), 1);
        advance(SECOND).await;
        assert!(!is_rejected().await, "{now:?}");
        assert_eq!(polytomic.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn identity_outlasts_10_min_of_failing_look_ups() {
    for script in [Script::Fails, Script::Hangs] {
        let polytomic = Polytomic::new();
        let auth = passthrough(&polytomic).await;
        auth.credentials(&bearer("one"), None).await.unwrap();
        polytomic.script("one", script);
        for _ in 0..600 {
            advance(SECOND).await;
            let began = Instant::now();
            let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
            assert!(credentials.identity().is_some(), "{script:?}");
            assert_eq!(began.elapsed(), Duration::ZERO, "no RPC waits");
        }
        let tried = 54..=300;
        assert!(tried.contains(&polytomic.asked()), "{script:?}: {}", polytomic.asked());
        polytomic.script("one", Script::Unknown);
        while auth.credentials(&bearer("one"), None).await.is_ok() {
            advance(SECOND).await;
        }
        assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_neither_remove_nor_stale_a_confirmed_identity() {
    let polytomic = Polytomic::new();
    let mut settings = settings(Mode::Passthrough);
    settings.look_ups = Rate { per_second: 20, burst: 50 };
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    let first = auth.credentials(&bearer("known"), None).await.unwrap();
    for number in 0..600 * 40 {
        let made_up = format!("made-up-{number}");
        polytomic.script(&made_up, Script::Unknown);
        drop(auth.credentials(&bearer(&made_up), None).await);
        advance(SECOND / 40).await;
        if number % 40 == 0 {
            let known = auth.credentials(&bearer("known"), None).await.unwrap();
            assert!(known.identity().is_some());
        }
    }
    let known = auth.credentials(&bearer("known"), None).await.unwrap();
    assert_ne!(known.generation(), first.generation());
    let asked = polytomic.asked.lock().unwrap();
    assert!((9..=10).contains(&asked.iter().filter(|key| *key == "known").count()));
}

#[tokio::test(start_paused = true)]
async fn unknown_key_is_rejected_without_a_look_up_for_5_s() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Unknown);
    let auth = passthrough(&polytomic).await;
    for _ in 0..10 {
        assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
    }
    assert_eq!((polytomic.asked(), auth.stats().negative), (1, 9));
    polytomic.script("one", Script::Class(Class::Partner));
    advance(SECOND * 5).await;
    auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!(polytomic.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn key_of_another_class_is_rejected_with_its_class() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    for class in [Class::User, Class::Organization] {
        polytomic.script(class.as_str(), Script::Class(class));
        let metadata = bearer(class.as_str());
        for _ in 0..2 {
            let credentials = auth.credentials(&metadata, None).await.unwrap();
            let error = credentials.check_partner().unwrap_err();
            assert_eq!(
                error,
                Error::NotPartner { class, owner: CredentialOwner::Caller }
            );
            assert!(error.to_string().contains(class.as_str()));
        }
    }
    assert_eq!(polytomic.asked(), 2);
    polytomic.script("silent", Script::Silent);
    auth.credentials(&bearer("silent"), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn look_up_without_an_answer_costs_one_wait_and_one_request() {
    for script in [Script::Fails, Script::Hangs] {
        let polytomic = Polytomic::new();
        polytomic.script("one", script);
        let auth = passthrough(&polytomic).await;
        let began = Instant::now();
        for _ in 0..50 {
            let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
            assert_eq!(sent(&credentials), "Bearer one");
            assert_eq!(credentials.identity(), None);
        }
        assert!(began.elapsed() <= LOOK_UP_TIMEOUT + SECOND / 100, "{script:?}");
        assert_eq!(polytomic.asked(), 1, "{script:?}");
        assert_eq!((auth.stats().hits, auth.stats().look_ups_failed), (49, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn next_look_up_follows_in_the_background() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Fails);
    let auth = passthrough(&polytomic).await;
    auth.credentials(&bearer("one"), None).await.unwrap();
    advance(NO_ANSWER_TTL.mul_f64(0.99)).await;
    auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!(polytomic.asked(), 1);

    polytomic.script("one", Script::Waits);
    advance(NO_ANSWER_TTL + NO_ANSWER_JITTER).await;
    let began = Instant::now();
    for _ in 0..10 {
        let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
        assert_eq!(credentials.identity(), None);
    }
    while polytomic.asked() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "no RPC waited");
    polytomic.permits.add_permits(1);
    while auth.credentials(&bearer("one"), None).await.unwrap().identity().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(polytomic.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn look_ups_of_many_keys_spread_after_an_outage() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let keys: Vec<_> = (0..200).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        polytomic.script(key, Script::Fails);
        auth.credentials(&bearer(key), None).await.unwrap();
    }
    let mut most = 0;
    for _ in 0..10 {
        let before = polytomic.asked();
        advance(SECOND).await;
        for key in &keys {
            auth.credentials(&bearer(key), None).await.unwrap();
        }
        tokio::task::yield_now().await;
        most = most.max(polytomic.asked() - before);
    }
    assert!(polytomic.asked() >= 2 * keys.len());
    assert!(most <= keys.len() / 2, "{most}");
}

#[tokio::test(start_paused = true)]
async fn look_ups_over_the_rate_are_skipped() {
    let polytomic = Polytomic::new();
    let mut settings = settings(Mode::Passthrough);
    settings.look_ups = Rate { per_second: 20, burst: 50 };
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    let honest = auth.credentials(&bearer("known"), None).await.unwrap();
    for number in 0..1_000 {
        let made_up = format!("made-up-{number}");
        polytomic.script(&made_up, Script::Unknown);
        // Polytomic rejects it, by the look-up or by the RPC.
        if let Ok(credentials) = auth.credentials(&bearer(&made_up), None).await {
            auth.rejected(&credentials).await;
        }
        advance(SECOND / 100).await;
    }
    let bound = 50 + 10 * 20;
    assert!((bound - 5..=bound).contains(&polytomic.asked()), "{}", polytomic.asked());
    assert!(auth.stats().look_ups_skipped >= 750);

    let known = auth.credentials(&bearer("known"), None).await.unwrap();
    assert_eq!(known.generation(), honest.generation());
    let new = auth.credentials(&bearer("new"), None).await.unwrap();
    assert_eq!(sent(&new), "Bearer new");
}

#[tokio::test(start_paused = true)]
async fn without_verification_no_key_is_rejected() {
    let polytomic = Polytomic::new();
    let mut settings = settings(Mode::Passthrough);
    settings.verify = false;
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    let first = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!((sent(&first).as_str(), first.identity()), ("Bearer one", None));
    assert!(auth.rejected(&first).await.is_none());
    let second = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!(first.fingerprint(), second.fingerprint());
    auth.verifier.run_pending_tasks().await;
    assert_eq!((polytomic.asked(), auth.stats().entries), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn revoked_key_is_rejected_on_the_next_rpc() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
    polytomic.script("one", Script::Unknown);
    assert!(auth.rejected(&credentials).await.is_none());
    assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
    assert_eq!((polytomic.asked(), auth.stats().invalidated_rejected), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn unauthorized_response_for_another_reason_rejects_no_key() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let early = auth.credentials(&bearer("one"), None).await.unwrap();
    for _ in 0..10 {
        let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
        auth.rejected(&credentials).await;
        auth.rejected(&early).await;
    }
    assert!(auth.credentials(&bearer("one"), None).await.unwrap().identity().is_some());
    assert_eq!(polytomic.asked(), 2, "checked once in 5 s");

    // Revoked just after that check: noticed by the next.
    polytomic.script("one", Script::Unknown);
    let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
    auth.rejected(&credentials).await;
    assert!(auth.credentials(&bearer("one"), None).await.is_ok());
    advance(CONFIRMED_TTL).await;
    auth.rejected(&credentials).await;
    assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
}

#[tokio::test(start_paused = true)]
async fn check_without_an_answer_rejects_no_key_and_keeps_its_owner() {
    for script in [Script::Fails, Script::Hangs] {
        let polytomic = Polytomic::new();
        let auth = passthrough(&polytomic).await;
        let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
        polytomic.script("one", script);
        let began = Instant::now();
        for _ in 0..50 {
            auth.rejected(&credentials).await;
            let now = auth.credentials(&bearer("one"), None).await.unwrap();
            assert_eq!(now.generation(), credentials.generation());
        }
        assert!(began.elapsed() <= LOOK_UP_TIMEOUT + SECOND / 100, "{script:?}");
        assert_eq!(polytomic.asked(), 2, "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_of_unverified_credentials_is_cached() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Fails);
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
    polytomic.script("one", Script::Unknown);
    advance(NO_ANSWER_TTL + NO_ANSWER_JITTER).await;
    auth.rejected(&credentials).await;
    assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
    assert_eq!((polytomic.asked(), auth.stats().invalidated_rejected), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn late_401_to_old_credentials_keeps_the_new_ones() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let old = auth.credentials(&bearer("one"), None).await.unwrap();
    advance(SECOND * 61).await;
    let new = refreshed(&auth, &old).await;
    polytomic.script("one", Script::Unknown);
    auth.rejected(&old).await;
    let now = auth.credentials(&bearer("one"), None).await.unwrap();
    assert_eq!((now.generation(), polytomic.asked()), (new.generation(), 2));
    auth.rejected(&new).await;
    assert_eq!(auth.credentials(&bearer("one"), None).await.unwrap_err(), REJECTED);
}

#[tokio::test(start_paused = true)]
async fn repeated_401s_do_not_extend_a_rejection() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one"), None).await.unwrap();
    polytomic.script("one", Script::Unknown);
    for _ in 0..5 {
        auth.rejected(&credentials).await;
        advance(SECOND).await;
    }
    assert_eq!(polytomic.asked(), 2);
    polytomic.script("one", Script::Class(Class::Partner));
    auth.credentials(&bearer("one"), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn malformed_key_is_neither_looked_up_nor_cached() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    assert_eq!(
        auth.credentials(&HeaderMap::new(), None).await.unwrap_err(),
        Error::Missing
    );
    let long = bearer(&"a".repeat(8 * 1024));
    let error = auth.credentials(&long, None).await.unwrap_err();
    assert_eq!(error, Error::Malformed("longer than 8 KiB"));
    auth.verifier.run_pending_tasks().await;
    assert_eq!((polytomic.asked(), auth.stats().entries), (0, 0));
    assert!(auth.is_ready());
}
