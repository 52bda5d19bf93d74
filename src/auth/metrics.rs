//! What is known of keys and credential files, for the metrics.

use std::sync::Arc;

use super::{Authenticator, FileStats, Stats};
use crate::telemetry::{Family, Metrics, Samples};

const ENTRIES: Family = Family::gauge(
    "gateway_auth_cache_entries",
    &[],
    "Keys in the cache of identities, approximately",
);
const REQUESTS: Family = Family::counter(
    "gateway_auth_cache_requests_total",
    &["result"],
    "RPCs, by what the cache knew of their key: its owner (hit), nothing (miss), nothing \
     while another RPC looks it up (shared) or no more may be looked up (skipped), or that \
     Polytomic rejects it (negative)",
);
const INVALIDATIONS: Family = Family::counter(
    "gateway_auth_cache_invalidations_total",
    &["cause"],
    "Keys removed from the cache: Polytomic rejects them (rejected), their time is over \
     (expired), or the cache is full (evicted)",
);
const LOOK_UPS: Family = Family::counter(
    "gateway_auth_look_ups_total",
    &[],
    "Look-ups of a key's owner at Polytomic",
);
const FAILED_LOOK_UPS: Family = Family::counter(
    "gateway_auth_look_ups_failed_total",
    &[],
    "Look-ups without an answer, after which RPCs continue without the owner",
);
const FILE_AGE: Family = Family::gauge(
    "gateway_credential_file_usable_age_seconds",
    &["file"],
    "Time since a credential file was last usable; no sample if it never was",
);
const FILE_READS: Family = Family::counter(
    "gateway_credential_file_reloads_total",
    &["file", "result"],
    "Reads of a credential file with another credential (changed) or without a usable one \
     (failed)",
);

impl Authenticator {
    /// Registers what is known of keys and credential files.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let of = |family, write: fn(&Stats, &mut Samples<'_>)| {
            let own = Arc::clone(self);
            metrics.register(family, move |samples| write(&own.stats(), samples));
        };
        of(ENTRIES, |stats, samples| samples.count(&[], stats.entries));
        of(REQUESTS, |stats, samples| {
            for (result, count) in [
                ("hit", stats.hits),
                ("miss", stats.misses),
                ("shared", stats.shared),
                ("skipped", stats.look_ups_skipped),
                ("negative", stats.negative),
            ] {
                samples.count(&[result], count);
            }
        });
        of(INVALIDATIONS, |stats, samples| {
            for (cause, count) in [
                ("rejected", stats.invalidated_rejected),
                ("expired", stats.invalidated_expired),
                ("evicted", stats.invalidated_evicted),
            ] {
                samples.count(&[cause], count);
            }
        });
        of(LOOK_UPS, |stats, samples| samples.count(&[], stats.look_ups));
        of(FAILED_LOOK_UPS, |stats, samples| samples.count(&[], stats.look_ups_failed));
        of(FILE_AGE, |stats, samples| {
            for (name, file) in files(stats) {
                if let Some(age) = file.age {
                    samples.value(&[name], age.as_secs_f64());
                }
            }
        });
        of(FILE_READS, |stats, samples| {
            for (name, file) in files(stats) {
                samples.count(&[name, "changed"], file.rotations);
                samples.count(&[name, "failed"], file.failures);
            }
        });
    }
}

/// Returns the credential files that there are.
fn files(stats: &Stats) -> impl Iterator<Item = (&'static str, FileStats)> {
    let files = [("partner_key", stats.key_file), ("caller_token", stats.token_file)];
    files.into_iter().filter_map(|(name, file)| Some((name, file?)))
}
