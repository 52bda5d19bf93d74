//! The public functions of auth, with a scripted Polytomic behind them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Notify, Semaphore};

use super::settings::Rate;
use super::*;

mod caching;
mod flood;
mod secrecy;
mod sharing;
mod static_mode;

const SECOND: Duration = Duration::from_secs(1);

/// A scripted `GET /api/me`. A key without a script is a partner key.
#[derive(Debug)]
struct Polytomic {
    scripts: Mutex<HashMap<String, Script>>,
    asked: Mutex<Vec<String>>,
    arrived: Notify,
    permits: Semaphore,
}

#[derive(Clone, Copy, Debug)]
enum Script {
    Class(Class),
    /// An identity that repeats the key.
    Echoes,
    /// An identity without `is_partner`.
    Silent,
    Unknown,
    Fails,
    Hangs,
    Panics,
    /// Waits for a permit, then states a partner.
    Waits,
}

impl Polytomic {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            scripts: Mutex::default(),
            asked: Mutex::default(),
            arrived: Notify::new(),
            permits: Semaphore::new(0),
        })
    }

    fn script(&self, key: &str, script: Script) {
        self.scripts.lock().unwrap().insert(key.to_owned(), script);
    }

    /// Returns the number of look-ups so far.
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl LookUp for Arc<Polytomic> {
    fn identity(
        &self,
        authorization: HeaderValue,
    ) -> BoxFuture<'_, Result<Verdict, LookUpError>> {
        Box::pin(self.respond(authorization))
    }
}

impl Polytomic {
    async fn respond(&self, authorization: HeaderValue) -> Result<Verdict, LookUpError> {
        let key =
            authorization.to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        self.asked.lock().unwrap().push(key.clone());
        self.arrived.notify_one();
        let script = self.scripts.lock().unwrap().get(&key).copied();
        match script.unwrap_or(Script::Class(Class::Partner)) {
            Script::Class(class) => Ok(Verdict::Known(identity(&key, class))),
            Script::Echoes => Ok(Verdict::Known(Identity {
                organization_id: Some(key.clone()),
                organization_name: Some(format!("the organization of {key}")),
                ..identity(&key, Class::Partner)
            })),
            Script::Silent => Ok(Verdict::Known(Identity {
                organization_id: None,
                organization_name: None,
                class: Class::Unstated,
                is_partner: None,
            })),
            Script::Unknown => Ok(Verdict::Unknown),
            Script::Fails => Err(LookUpError::new("503 Service Unavailable")),
            Script::Hangs => std::future::pending().await,
            Script::Panics => panic!("on purpose"),
            Script::Waits => {
                self.permits.acquire().await.unwrap().forget();
                Ok(Verdict::Known(identity(&key, Class::Partner)))
            }
        }
    }
}

fn identity(key: &str, class: Class) -> Identity {
    Identity {
        organization_id: None,
        organization_name: Some(organization(key)),
        class,
        is_partner: Some(class == Class::Partner),
    }
}

/// Returns the key backwards: different for each key, and not the key itself.
fn organization(key: &str) -> String {
    key.chars().rev().collect()
}

fn bearer(key: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {key}").try_into().unwrap())])
}

/// Settings without a limit on look-ups.
fn settings(mode: Mode) -> Settings {
    let mut settings = Settings::new(mode, "https://app.polytomic.com", "2025-09-18");
    settings.look_ups = Rate { per_second: u32::MAX, burst: u32::MAX };
    settings
}

async fn passthrough(polytomic: &Arc<Polytomic>) -> Authenticator {
    Authenticator::start(settings(Mode::Passthrough), Arc::clone(polytomic))
        .await
        .unwrap()
}

/// Returns the header that an upstream request would have.
fn sent(credentials: &Credentials) -> String {
    credentials.authorization().to_str().unwrap().to_owned()
}

const REJECTED: Error = Error::Rejected { owner: CredentialOwner::Caller };
