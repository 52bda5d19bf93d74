#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::time::advance;

use super::*;
use crate::files::{POLL, read};

fn hasher() -> Arc<Hasher> {
    Arc::new(Hasher::new("static", "u", "v"))
}

fn secret(file: &CredentialFile) -> Option<String> {
    file.current().map(|token| token.secret.expose_secret().to_owned())
}

#[test]
fn white_space_around_the_credential_is_ignored() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    for content in ["key", "key\n", "  key\r\n", "\n\tkey \n\n", "\u{feff}key\n"] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(
            lines(&read(&path, MAX_BYTES).unwrap(), 1).unwrap(),
            [b"key"],
            "{content:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_file_is_rejected_with_its_problem() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let missing = read(&path, MAX_BYTES).unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"one\ntwo\n", "more lines than 1"),
        (b"one\rtwo", "more lines than 1"),
        (b"one two", "white space"),
        (b"one\0", "control character"),
        (b"one\xef\xbb\xbf", "may not have"),
        (b"\xef\xbb\xbf\n", "empty"),
        (b"\xff\xfeo\0n\0e\0", "UTF-16"),
        (b"\xfe\xff\0o\0n\0e", "UTF-16"),
        (&[b'a'; MAX_BYTES + 1], "8 KiB"),
    ];
    for (content, expected) in cases {
        std::fs::write(&path, content).unwrap();
        let file =
            CredentialFile::open(Rules::of_key("key"), path.clone(), hasher()).await;
        let problem = file.health().problem.clone().unwrap();
        let content = content.escape_ascii();
        assert!(problem.contains(expected), "{content}: {problem:?} lacks {expected:?}");
    }
    let folder = read(directory.path(), MAX_BYTES).unwrap_err().to_string();
    assert!(folder.contains("not a regular file"), "{folder}");
    std::fs::write(&path, [b'a'; MAX_BYTES]).unwrap();
    assert_eq!(read(&path, MAX_BYTES).unwrap().len(), MAX_BYTES);
}

#[tokio::test(start_paused = true)]
async fn last_usable_credential_stays_in_use_and_ages() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let file = CredentialFile::open(Rules::of_key("key"), path.clone(), hasher()).await;
    assert_eq!((secret(&file), file.stats().age, file.stats().failures), (None, None, 1));

    std::fs::write(&path, "one").unwrap();
    file.reload().await;
    let first = file.current().unwrap();
    assert_eq!(
        file.stats(),
        FileStats { age: Some(Duration::ZERO), rotations: 0, failures: 1 }
    );

    std::fs::remove_file(&path).unwrap();
    advance(POLL / 2).await;
    file.reload().await;
    assert!(Arc::ptr_eq(&first, &file.current().unwrap()));
    assert_eq!((file.stats().age, file.stats().failures), (Some(POLL / 2), 2));

    std::fs::write(&path, "one\n").unwrap();
    file.reload().await;
    assert!(
        Arc::ptr_eq(&first, &file.current().unwrap()),
        "the same key is not a rotation"
    );
    std::fs::write(&path, "two").unwrap();
    file.reload().await;
    assert_eq!(secret(&file).as_deref(), Some("two"));
    assert_eq!(
        file.stats(),
        FileStats { age: Some(Duration::ZERO), rotations: 1, failures: 2 }
    );
}

#[tokio::test(start_paused = true)]
async fn change_of_equal_length_and_time_stamp_is_loaded() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let file = CredentialFile::open(Rules::of_key("key"), path.clone(), hasher()).await;
    std::fs::write(&path, "two").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    while file.stats().rotations == 0 {
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(secret(&file).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn cancelled_reload_does_not_end_the_wait_of_another() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let file = CredentialFile::open(Rules::of_key("key"), path.clone(), hasher()).await;
    std::fs::write(&path, "two").unwrap();
    let (first, second) = (Arc::clone(&file), Arc::clone(&file));
    let first = tokio::spawn(async move { first.reload().await });
    let second = tokio::spawn(async move { second.reload().await });
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap();
    assert_eq!(secret(&file).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn polling_stops_when_the_file_is_dropped() {
    let directory = TempDir::new().unwrap();
    let file = CredentialFile::open(
        Rules::of_key("key"),
        directory.path().join("key"),
        hasher(),
    )
    .await;
    let file_alive = Arc::downgrade(&file);
    drop(file);
    tokio::time::sleep(POLL * 2).await;
    assert_eq!(file_alive.strong_count(), 0);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

/// Opens a file of caller tokens, for a gateway that also holds a partner key.
async fn caller_token(content: &str, key: &str) -> (Arc<CredentialFile>, TempDir) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, content).unwrap();
    let hasher = hasher();
    let key = Arc::new(Token { hash: hasher.hash(key), secret: key.into() });
    let rules = Rules::of_caller_token("caller token", PartnerKey::Value(key));
    (CredentialFile::open(rules, path, hasher).await, directory)
}

#[tokio::test(start_paused = true)]
async fn short_caller_token_or_the_partner_key_is_rejected_with_its_problem() {
    let key = "the-partner-key-itself";
    for (content, expected) in [
        ("123456789-12345", "a caller token has fewer than 16 characters"),
        ("123456789-123456\nshort", "fewer than 16 characters"),
        (key, "the partner key"),
        ("123456789-123456\nthe-partner-key-itself", "the partner key"),
        ("123456789-123456\n123456789-123457\n123456789-123458", "more lines than 2"),
    ] {
        let (file, _directory) = caller_token(content, key).await;
        let problem = file.health().problem.clone().unwrap();
        assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        assert!(file.accepts(&file.hasher.hash(content)).is_none(), "{content:?}");
        assert!(!problem.contains("123456789"), "{problem:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_caller_tokens_are_accepted_during_a_rotation() {
    let [old, new, other] = ["the-old-caller-token", "the-new-caller-token", "another"];
    let (file, directory) = caller_token(&format!("{old}\n{new}\n"), "key").await;
    let accepted =
        |token: &str| file.accepts(&file.hasher.hash(token)).expect("it has tokens");
    assert!(accepted(old) && accepted(new) && !accepted(other));
    std::fs::write(directory.path().join("token"), new).unwrap();
    file.reload().await;
    assert!(!accepted(old) && accepted(new));
    assert_eq!(file.stats().rotations, 1);
}
