//! Static mode: the gateway's key, for clients that may use it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;
use crate::{
    files::POLL,
    peer::{Identity, TlsVersion},
};

const GATEWAY_REJECTED: Error = Error::Rejected { owner: CredentialOwner::Gateway };

const CALLER: &str = "token-of-the-caller";

/// Returns a directory with the files `key` and `token`.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("key"), "old\n").unwrap();
    std::fs::write(directory.path().join("token"), format!("{CALLER}\n")).unwrap();
    directory
}

/// Replaces a file in one step, so that no read finds a part of it.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

async fn static_mode(polytomic: &Arc<Polytomic>, directory: &TempDir) -> Authenticator {
    let key = KeySource::File(directory.path().join("key"));
    let callers = Callers::Token(directory.path().join("token"));
    let settings = settings(Mode::Static { key, callers });
    Authenticator::start(settings, Arc::clone(polytomic)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn caller_token_gives_the_gateways_key() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let auth = static_mode(&polytomic, &directory).await;
    let credentials = auth.credentials(&bearer(CALLER), None).await.unwrap();
    assert_eq!(sent(&credentials), "Bearer old");
    assert_eq!(credentials.owner(), CredentialOwner::Gateway);
    assert!(credentials.authorization().is_sensitive());
    auth.credentials(&bearer(CALLER), None).await.unwrap();
    assert_eq!(*polytomic.asked.lock().unwrap(), ["old"]);
}

#[tokio::test(start_paused = true)]
async fn wrong_caller_token_is_rejected_and_never_sent_upstream() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let auth = static_mode(&polytomic, &directory).await;
    for token in ["calling", "token-of-the-caller2", "TOKEN-OF-THE-CALLER", "old"] {
        let error = auth.credentials(&bearer(token), None).await.unwrap_err();
        assert_eq!(error, Error::CallerToken, "{token}");
    }
    assert_eq!(
        auth.credentials(&HeaderMap::new(), None).await.unwrap_err(),
        Error::Missing
    );
    let mut twice = bearer(CALLER);
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer token-of-the-caller"));
    let error = auth.credentials(&twice, None).await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)));
    assert_eq!(polytomic.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn certificate_gives_the_gateways_key_and_nothing_else_does() {
    let polytomic = Polytomic::new();
    let key = KeySource::Value("gateway".into());
    let mode = Mode::Static { key, callers: Callers::Certificate };
    let auth =
        Authenticator::start(settings(mode), Arc::clone(&polytomic)).await.unwrap();
    let address = ([10, 0, 0, 7], 41000).into();
    let stranger = Peer::plaintext(address);
    let identity = Identity::new("spiffe://mesh/orders");
    let known = Peer::new(address, Some(TlsVersion::V1_3), Some(identity));
    for metadata in [HeaderMap::new(), bearer("gateway")] {
        for peer in [None, Some(&stranger)] {
            let error = auth.credentials(&metadata, peer).await.unwrap_err();
            assert_eq!(error, Error::NoIdentity);
        }
        let credentials = auth.credentials(&metadata, Some(&known)).await.unwrap();
        assert_eq!(sent(&credentials), "Bearer gateway");
        assert_eq!(auth.credential_of(&metadata, Some(&known)), b"spiffe://mesh/orders");
    }
    let own = bearer("own");
    assert_eq!(auth.credential_of(&own, Some(&stranger)), b"Bearer own");
    let passthrough =
        Authenticator::start(settings(Mode::Passthrough), polytomic).await.unwrap();
    assert_eq!(passthrough.credential_of(&own, Some(&known)), b"Bearer own");
}

#[tokio::test(start_paused = true)]
async fn without_a_caller_token_client_metadata_is_ignored() {
    let key = KeySource::Value(" given\n".into());
    let settings = settings(Mode::Static { key, callers: Callers::Any });
    let auth = Authenticator::start(settings, Polytomic::new()).await.unwrap();
    assert!(auth.is_ready());
    for metadata in [HeaderMap::new(), bearer("own")] {
        let credentials = auth.credentials(&metadata, None).await.unwrap();
        assert_eq!(sent(&credentials), "Bearer given");
        assert!(auth.rejected(&credentials).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_class_of_the_gateways_key_is_blamed_on_the_gateway() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    polytomic.script("old", Script::Class(Class::User));
    let auth = static_mode(&polytomic, &directory).await;
    let credentials = auth.credentials(&bearer(CALLER), None).await.unwrap();
    assert_eq!(
        credentials.check_partner().unwrap_err(),
        Error::NotPartner { class: Class::User, owner: CredentialOwner::Gateway }
    );
}

#[tokio::test(start_paused = true)]
async fn gateway_is_ready_once_usable_credentials_are_loaded() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let (key, token) = (directory.path().join("key"), directory.path().join("token"));
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_file(&token).unwrap();
    let auth = static_mode(&polytomic, &directory).await;
    let caller = bearer(CALLER);
    assert!(!auth.is_ready());
    let error = auth.credentials(&caller, None).await.unwrap_err();
    assert_eq!(error, Error::Unavailable("caller token"));
    replace(&token, CALLER);
    auth.reload().await;
    assert!(!auth.is_ready());
    let error = auth.credentials(&caller, None).await.unwrap_err();
    assert_eq!(error, Error::Unavailable("partner key"));
    replace(&key, "late");
    tokio::time::sleep(POLL * 2).await;
    assert!(auth.is_ready());
    assert_eq!(sent(&auth.credentials(&caller, None).await.unwrap()), "Bearer late");
    std::fs::remove_file(&key).unwrap();
    auth.reload().await;
    assert!(auth.is_ready(), "the last usable key stays in use");
    assert!(auth.credentials(&caller, None).await.is_ok());
    assert!(auth.stats().key_file.unwrap().failures >= 2);
}

#[tokio::test(start_paused = true)]
async fn rejected_key_is_replaced_by_the_one_in_the_file() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let auth = static_mode(&polytomic, &directory).await;
    let old = auth.credentials(&bearer(CALLER), None).await.unwrap();
    replace(&directory.path().join("key"), "new");
    let new = auth.rejected(&old).await.unwrap();
    assert_eq!(sent(&new), "Bearer new");
    let again = auth.rejected(&old).await.unwrap();
    assert_eq!(again.generation(), new.generation());
    assert_eq!(auth.stats().key_file.unwrap().rotations, 1);
    assert!(auth.rejected(&new).await.is_none(), "the file has not changed since");
    let new = auth.credentials(&bearer(CALLER), None).await.expect("Polytomic knows it");
    advance(SECOND * 5).await;
    polytomic.script("new", Script::Unknown);
    assert!(auth.rejected(&new).await.is_none());
    let error = auth.credentials(&bearer(CALLER), None).await.unwrap_err();
    assert_eq!(error, GATEWAY_REJECTED);
}

#[tokio::test(start_paused = true)]
async fn key_rejected_by_its_look_up_is_replaced_by_the_one_in_the_file() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let auth = static_mode(&polytomic, &directory).await;
    polytomic.script("old", Script::Unknown);
    let error = auth.credentials(&bearer(CALLER), None).await.unwrap_err();
    assert_eq!(error, GATEWAY_REJECTED);
    replace(&directory.path().join("key"), "new");
    let credentials = auth.credentials(&bearer(CALLER), None).await.unwrap();
    assert_eq!(sent(&credentials), "Bearer new", "immediately, not after 5 s");
}

/// Kubernetes mounts `key` → `..data/key` and `..data` → a dated directory.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn kubernetes_symlink_swap_is_loaded_by_the_next_read() {
    use std::os::unix::fs::symlink;

    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for (date, key) in [("..1", "old"), ("..2", "new")] {
        std::fs::create_dir(path.join(date)).unwrap();
        std::fs::write(path.join(date).join("key"), key).unwrap();
    }
    symlink("..1", path.join("..data")).unwrap();
    symlink("..data/key", path.join("key")).unwrap();

    let key = KeySource::File(path.join("key"));
    let settings = settings(Mode::Static { key, callers: Callers::Any });
    let auth = Authenticator::start(settings, Polytomic::new()).await.unwrap();
    let metadata = HeaderMap::new();
    assert_eq!(sent(&auth.credentials(&metadata, None).await.unwrap()), "Bearer old");

    symlink("..2", path.join("..data_tmp")).unwrap();
    std::fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    std::fs::remove_dir_all(path.join("..1")).unwrap();
    assert_eq!(sent(&auth.credentials(&metadata, None).await.unwrap()), "Bearer old");
    while auth.stats().key_file.unwrap().rotations == 0 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(sent(&auth.credentials(&metadata, None).await.unwrap()), "Bearer new");
}

/// Rotates the key 20 times under 8 clients, in an operator's order: the new key becomes
/// valid, the file changes, the old key becomes invalid. Each rotation waits for every
/// client, so that none of them is two keys behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn key_rotation_under_load_fails_no_rpc() {
    let (polytomic, directory) = (Polytomic::new(), directory());
    let path = directory.path().join("key");
    replace(&path, "key-0");
    let auth = Arc::new(static_mode(&polytomic, &directory).await);
    let valid = Arc::new(Mutex::new(HashSet::from(["Bearer key-0".to_owned()])));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    let mut calls = Vec::new();
    for _ in 0..8 {
        let (auth, valid, stop) =
            (Arc::clone(&auth), Arc::clone(&valid), Arc::clone(&stop));
        let finished = Arc::new(AtomicU64::new(0));
        calls.push(Arc::clone(&finished));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let credentials = auth.credentials(&bearer(CALLER), None).await.unwrap();
                let accepted = |c: &Credentials| valid.lock().unwrap().contains(&sent(c));
                if !accepted(&credentials) {
                    let new = auth.rejected(&credentials).await.expect("a new key");
                    assert!(accepted(&new), "{} was rejected", sent(&new));
                }
                finished.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    for rotation in 1..=20 {
        let (old, new) = (format!("key-{}", rotation - 1), format!("key-{rotation}"));
        valid.lock().unwrap().insert(format!("Bearer {new}"));
        replace(&path, &new);
        polytomic.script(&old, Script::Unknown);
        valid.lock().unwrap().remove(&format!("Bearer {old}"));
        let before: Vec<_> = calls.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        while calls.iter().zip(&before).any(|(c, b)| c.load(Ordering::Relaxed) < b + 10) {
            assert!(clients.try_join_next().is_none(), "a client failed");
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_eq!(auth.stats().key_file.unwrap().rotations, 20);
}
