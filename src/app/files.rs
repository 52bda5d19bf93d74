//! The files that are read again while a gateway runs.

use std::sync::Arc;

use crate::{
    auth::Authenticator,
    tls::{self, ClientTls, ServerTls},
};

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
