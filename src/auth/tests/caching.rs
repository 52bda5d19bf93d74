//! Hits, misses, refusals and their ends, for one caller at a time.

use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_second_call_with_a_key_asks_nothing() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let first = auth.credentials(&bearer("one")).await.unwrap();
    let second = auth.credentials(&bearer("one")).await.unwrap();
    assert_eq!(polytomic.asked(), 1);
    assert_eq!(first.generation(), second.generation());
    assert_eq!(sent(&second), "Bearer one");
    assert!(second.authorization().is_sensitive());
    let name = second.identity().unwrap().organization_name.clone();
    assert_eq!(name, Some(organization("one")));
    assert_eq!(second.holder(), CredentialOwner::Caller);
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
        assert_eq!(sent(&auth.credentials(&metadata).await.unwrap()), "Bearer one");
    }
    assert_eq!(polytomic.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_ends_sixty_seconds_after_it_was_made_however_often_it_is_used() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let first = auth.credentials(&bearer("one")).await.unwrap();
    for _ in 0..59 {
        advance(SECOND).await;
        auth.credentials(&bearer("one")).await.unwrap();
    }
    assert_eq!(polytomic.asked(), 1);
    advance(SECOND).await;
    let renewed = auth.credentials(&bearer("one")).await.unwrap();
    assert_eq!(polytomic.asked(), 2);
    assert_ne!(first.generation(), renewed.generation());
    assert_eq!(first.fingerprint(), renewed.fingerprint());
    auth.verifier.settle().await;
    assert_eq!((auth.stats().entries, auth.stats().invalidated_expired), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_refused_and_not_asked_about_for_five_seconds() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Unknown);
    let auth = passthrough(&polytomic).await;
    for _ in 0..10 {
        assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
    }
    assert_eq!((polytomic.asked(), auth.stats().negative), (1, 9));
    polytomic.script("one", Script::Class(Class::Partner));
    advance(SECOND * 5).await;
    auth.credentials(&bearer("one")).await.unwrap();
    assert_eq!(polytomic.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_not_kept_when_their_time_is_zero() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Unknown);
    let mut settings = settings(Mode::Passthrough);
    settings.negative_ttl = Duration::ZERO;
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    for asked in 1..=3 {
        assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
        assert_eq!(polytomic.asked(), asked);
    }
    let good = auth.credentials(&bearer("two")).await.unwrap();
    assert!(auth.rejected(&good).await.is_none());
    auth.credentials(&bearer("two")).await.unwrap();
    assert_eq!(polytomic.asked(), 5, "the revoked entry left the cache");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_a_partners_is_refused_with_its_class() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    for class in [Class::User, Class::Organization] {
        polytomic.script(class.as_str(), Script::Class(class));
        let metadata = bearer(class.as_str());
        for _ in 0..2 {
            let error = auth.credentials(&metadata).await.unwrap_err();
            assert_eq!(
                error,
                Error::NotPartner { class, holder: CredentialOwner::Caller }
            );
            assert!(error.to_string().contains(class.as_str()));
        }
    }
    assert_eq!(polytomic.asked(), 2);
    polytomic.script("silent", Script::Silent);
    auth.credentials(&bearer("silent")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_or_hangs_refuses_no_one_and_is_not_remembered() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    for script in [Script::Fails, Script::Hangs] {
        polytomic.script("one", script);
        let began = tokio::time::Instant::now();
        let credentials = auth.credentials(&bearer("one")).await.unwrap();
        assert!(began.elapsed() <= SECOND * 2 + SECOND / 100);
        assert_eq!(sent(&credentials), "Bearer one");
        assert_eq!(credentials.identity(), None);
    }
    assert_eq!((auth.stats().look_ups_failed, auth.stats().entries), (2, 0));
    polytomic.script("one", Script::Class(Class::Partner));
    assert!(auth.credentials(&bearer("one")).await.unwrap().identity().is_some());
    assert_eq!(polytomic.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_verification_nothing_is_asked_and_a_401_still_counts() {
    let polytomic = Polytomic::new();
    let mut settings = settings(Mode::Passthrough);
    settings.verify = false;
    let auth = Authenticator::start(settings, Arc::clone(&polytomic)).await.unwrap();
    let first = auth.credentials(&bearer("one")).await.unwrap();
    let second = auth.credentials(&bearer("one")).await.unwrap();
    assert_eq!((first.generation(), first.identity()), (second.generation(), None));
    assert!(auth.rejected(&second).await.is_none());
    assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
    assert_eq!(polytomic.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_on_the_next_call() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one")).await.unwrap();
    assert!(auth.rejected(&credentials).await.is_none());
    assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
    assert_eq!((polytomic.asked(), auth.stats().invalidated_rejected), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_401_to_unverified_credentials_is_remembered_too() {
    let polytomic = Polytomic::new();
    polytomic.script("one", Script::Fails);
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one")).await.unwrap();
    auth.rejected(&credentials).await;
    assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
    assert_eq!(auth.stats().invalidated_rejected, 0, "nothing was there to invalidate");
}

#[tokio::test(start_paused = true)]
async fn a_late_401_for_old_credentials_leaves_the_new_ones() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let old = auth.credentials(&bearer("one")).await.unwrap();
    advance(SECOND * 61).await;
    let new = auth.credentials(&bearer("one")).await.unwrap();
    auth.rejected(&old).await;
    let now = auth.credentials(&bearer("one")).await.unwrap();
    assert_eq!(now.generation(), new.generation());
    auth.rejected(&new).await;
    assert_eq!(auth.credentials(&bearer("one")).await.unwrap_err(), REJECTED);
}

#[tokio::test(start_paused = true)]
async fn repeated_401s_do_not_lengthen_a_refusal() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let credentials = auth.credentials(&bearer("one")).await.unwrap();
    for _ in 0..5 {
        auth.rejected(&credentials).await;
        advance(SECOND).await;
    }
    auth.credentials(&bearer("one")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_bearer_key_is_neither_asked_about_nor_kept() {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    assert_eq!(auth.credentials(&HeaderMap::new()).await.unwrap_err(), Error::Missing);
    let long = bearer(&"a".repeat(8 * 1024));
    let error = auth.credentials(&long).await.unwrap_err();
    assert_eq!(error, Error::Malformed("longer than 8 KiB"));
    auth.verifier.settle().await;
    assert_eq!((polytomic.asked(), auth.stats().entries), (0, 0));
    assert!(auth.is_ready());
}

#[tokio::test]
async fn settings_out_of_range_do_not_start() {
    let mut settings = settings(Mode::Passthrough);
    settings.max_entries = 0;
    let refused = Authenticator::start(settings, Polytomic::new()).await;
    assert_eq!(refused.unwrap_err(), settings::Error::NoEntries);
}
