//! No debug output, error or log line contains a secret.

use std::io::{self, Write};

use tempfile::TempDir;
use tracing::level_filters::LevelFilter;

use super::*;

const CANARY: &str = "pk_live_canary-0f8a2c";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a scenario. Returns what it printed and what was logged.
async fn watch<S: Future<Output = Vec<String>>>(
    scenario: impl Fn() -> S,
) -> (String, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    scenario().await;
    // tracing may have cached that no subscriber wants a line which another test reached
    // first. The first run has registered every line, so the cache can be rebuilt.
    tracing::callsite::rebuild_interest_cache();
    let shown = scenario().await.join("\n");
    let log = log.0.lock().unwrap().clone();
    (shown, String::from_utf8(log).unwrap())
}

fn assert_clean(text: &str) {
    assert!(!text.contains("canary"), "{text}");
    // The start of the key in base64.
    assert!(!text.contains("cGtfbGl2ZV9jYW5hcnk"), "{text}");
}

async fn caller_scenario() -> Vec<String> {
    let polytomic = Polytomic::new();
    let auth = passthrough(&polytomic).await;
    let metadata = bearer(CANARY);
    polytomic.script(CANARY, Script::Silent);
    let credentials = auth.credentials(&metadata, None).await.unwrap();
    assert!(sent(&credentials).contains(CANARY), "the canary is in use");
    let mut shown =
        vec![format!("{credentials:?} {:?} {auth:?}", credentials.authorization())];
    auth.rejected(&credentials).await;
    for script in [
        Script::Class(Class::User),
        Script::Echoes,
        Script::Unknown,
        Script::Fails,
        Script::Hangs,
    ] {
        tokio::time::advance(SECOND * 61).await;
        polytomic.script(CANARY, script);
        shown.push(match auth.credentials(&metadata, None).await {
            Ok(credentials) => format!("{credentials:?} {auth:?}"),
            Err(error) => format!("{error} {error:?} {auth:?}"),
        });
    }
    for value in
        [CANARY.to_owned(), format!("Basic {CANARY}"), format!("Bearer {CANARY} x")]
    {
        let metadata = HeaderMap::from_iter([(AUTHORIZATION, value.try_into().unwrap())]);
        let error = auth.credentials(&metadata, None).await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    shown.push(format!("{:?}", auth.stats()));
    shown
}

async fn files_scenario() -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let (key, token) = (directory.path().join("key"), directory.path().join("token"));
    std::fs::write(&key, format!("{CANARY}-key")).unwrap();
    std::fs::write(&token, format!("{CANARY}-token")).unwrap();
    let settings = settings(Mode::Static {
        key: KeySource::File(key.clone()),
        callers: Callers::Token(token.clone()),
    });
    let mut shown = vec![format!("{settings:?}")];
    let auth = Authenticator::start(settings, Polytomic::new()).await.unwrap();
    let metadata = bearer(&format!("{CANARY}-token"));
    let credentials = auth.credentials(&metadata, None).await.unwrap();
    assert_eq!(sent(&credentials), format!("Bearer {CANARY}-key"));
    shown.push(format!("{credentials:?} {auth:?}"));
    for broken in ["", "canary\ncanary", "canary\u{1b}", "canary canary", "canaryé"] {
        std::fs::write(&key, broken).unwrap();
        std::fs::write(&token, broken).unwrap();
        auth.reload().await;
    }
    let error = auth.credentials(&bearer("canary"), None).await.unwrap_err();
    shown.push(format!("{auth:?} {:?} {error} {error:?}", auth.stats()));
    shown
}

#[tokio::test(start_paused = true)]
async fn callers_key_is_in_no_debug_output_error_or_log() {
    let (shown, log) = watch(caller_scenario).await;
    assert!(log.contains("without an identity"), "{log}");
    assert_clean(&shown);
    assert_clean(&log);
}

#[tokio::test(start_paused = true)]
async fn gateways_key_and_caller_token_are_in_no_debug_output_error_or_log() {
    let (shown, log) = watch(files_scenario).await;
    assert!(
        log.contains("more lines than 1") && log.contains("partner key loaded"),
        "{log}"
    );
    assert_clean(&shown);
    assert_clean(&log);
}
