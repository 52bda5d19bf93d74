//! A flood of keys, each used once: the number of entries stays bounded, and a key in
//! use keeps its entry. `benches/auth.rs` floods longer and prints the memory.

use std::future::ready;

use super::cache::MAX_ENTRIES;
use super::*;

const KEYS: u64 = 25_000;

/// Entries in the write buffer of the cache, or not removed yet.
const SLACK: u64 = 1_000;

#[tokio::test]
async fn flood_of_wrong_keys_keeps_the_entry_in_use() {
    let auth = Authenticator::start(settings(Mode::Passthrough), OnlyHot).await.unwrap();
    let hot = bearer("hot");
    let mut generation = None;
    for number in 0..KEYS {
        // Rejected or not: the outcome is not part of this test.
        drop(auth.credentials(&bearer(&format!("random-{number}")), None).await);
        if number % 100 == 0 {
            let credentials = auth.credentials(&hot, None).await.unwrap();
            let first = *generation.get_or_insert(credentials.generation());
            assert_eq!(credentials.generation(), first, "evicted after {number} keys");
            assert!(auth.stats().entries <= MAX_ENTRIES + SLACK);
        }
    }
    auth.verifier.run_pending_tasks().await;
    assert!(auth.stats().entries <= MAX_ENTRIES);
    // A slow machine may take longer than a rejection lasts.
    let removed = auth.stats().invalidated_evicted + auth.stats().invalidated_expired;
    assert!(removed >= KEYS - MAX_ENTRIES);
}

/// A Polytomic that knows one key.
#[derive(Debug)]
struct OnlyHot;

impl LookUp for OnlyHot {
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        let is_known = authorization == "Bearer hot";
        let partner = || Verdict::Known(identity("hot", Class::Partner));
        Box::pin(ready(Ok(if is_known { partner() } else { Verdict::Unknown })))
    }
}
