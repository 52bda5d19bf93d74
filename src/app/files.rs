//! The files that are read again while a gateway runs.

use std::{sync::Arc, time::SystemTime};

use crate::{
    auth::Authenticator,
    telemetry::{Family, Metrics},
    tls::{self, ClientTls, ServerTls},
};

const NOT_AFTER: Family = Family::gauge(
    "gateway_tls_certificate_not_after_timestamp_seconds",
    &["setting"],
    "When the first certificate of a file expires, in seconds since 1970, by the setting \
     that names the file",
);
const RELOADS: Family = Family::counter(
    "gateway_tls_certificate_reloads_total",
    &["side", "result"],
    "Reads of the certificate files of a side, listener or upstream, with other contents \
     (changed) or without usable ones (failed)",
);

/// The files that a gateway reads again when they change: credentials and certificates.
#[derive(Debug, Clone)]
pub struct Files {
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) listener: Option<Arc<ServerTls>>,
    pub(super) upstream: Option<Arc<ClientTls>>,
}

impl Files {
    /// Reads all files again now, as on SIGHUP.
    pub async fn reload(&self) {
        self.authenticator.reload().await;
        if let Some(listener) = &self.listener {
            listener.reload().await;
        }
        if let Some(upstream) = &self.upstream {
            upstream.reload().await;
        }
    }

    /// Returns the state of each file, for people, if there is any.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let certificates = [
            self.listener.as_ref().and_then(|files| files.describe()),
            self.upstream.as_ref().and_then(|files| files.describe()),
        ];
        let states =
            [self.authenticator.describe_files()].into_iter().chain(certificates);
        let states: Vec<String> = states.flatten().collect();
        (!states.is_empty()).then(|| states.join("; "))
    }

    /// Returns the state of the certificates: of the listener, and of the way to Polytomic.
    #[must_use]
    pub fn certificates(&self) -> [Option<tls::Stats>; 2] {
        let listener = self.listener.as_ref().map(|files| files.stats());
        [listener, self.upstream.as_ref().map(|files| files.stats())]
    }

    /// Registers when certificates expire, and how often they were read again.
    pub(super) fn register(&self, metrics: &Metrics) {
        let files = self.clone();
        metrics.register(NOT_AFTER, move |samples| {
            let stats = files.certificates();
            for one in stats.iter().flatten().flat_map(tls::Stats::first_to_expire) {
                let at = one.not_after.duration_since(SystemTime::UNIX_EPOCH);
                let setting = one.flag.trim_start_matches('-');
                samples.value(&[setting], at.unwrap_or_default().as_secs_f64());
            }
        });
        let files = self.clone();
        metrics.register(RELOADS, move |samples| {
            for (side, stats) in
                ["listener", "upstream"].into_iter().zip(files.certificates())
            {
                let Some(stats) = stats else { continue };
                samples.count(&[side, "changed"], stats.rotations);
                samples.count(&[side, "failed"], stats.failures);
            }
        });
    }

    /// Certificates are read again when they change; credentials are in any case.
    pub(super) fn watch(&self) {
        if let Some(listener) = &self.listener {
            listener.watch();
        }
        if let Some(upstream) = &self.upstream {
            upstream.watch();
        }
    }
}
