//! A flood of keys that no one will use again: memory stays bounded and the caller who
//! is really there keeps its entry. `benches/auth.rs` floods longer and weighs it.

use super::*;

const KEYS: usize = 40_000;
const ENTRIES: u64 = 1_000;

/// The write buffer of the cache and what it has not yet thrown out.
const SLACK: u64 = 1_000;

async fn flood(mut settings: Settings, look_up: impl LookUp) {
    settings.max_entries = ENTRIES;
    let auth = Authenticator::start(settings, look_up).await.unwrap();
    let hot = bearer("hot");
    let mut generation = None;
    for number in 0..KEYS {
        // Refused or not: the flood is not about the answer.
        drop(auth.credentials(&bearer(&format!("random-{number}"))).await);
        if number % 100 == 0 {
            let credentials = auth.credentials(&hot).await.unwrap();
            let first = *generation.get_or_insert(credentials.generation());
            assert_eq!(credentials.generation(), first, "evicted after {number} keys");
            assert!(auth.stats().entries <= ENTRIES + SLACK);
        }
    }
    auth.verifier.settle().await;
    assert!(auth.stats().entries <= ENTRIES);
    assert!(auth.stats().invalidated_evicted >= (KEYS as u64) - ENTRIES);
}

#[tokio::test]
async fn a_flood_of_unverified_keys_does_not_move_the_hot_one() {
    let mut settings = settings(Mode::Passthrough);
    settings.verify = false;
    flood(settings, Polytomic::new()).await;
}

/// Knows one key.
#[derive(Debug)]
struct OnlyHot;

impl LookUp for OnlyHot {
    async fn identity(&self, authorization: HeaderValue) -> Result<Verdict, LookUpError> {
        let known = authorization == "Bearer hot";
        let partner = || Verdict::Known(identity("hot", Class::Partner));
        Ok(if known { partner() } else { Verdict::Unknown })
    }
}

#[tokio::test]
async fn a_flood_of_wrong_keys_does_not_move_the_hot_one() {
    flood(settings(Mode::Passthrough), OnlyHot).await;
}
