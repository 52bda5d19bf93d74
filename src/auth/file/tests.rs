#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;

fn hasher() -> Arc<Hasher> {
    Arc::new(Hasher::new("static", "u", "v"))
}

fn held(file: &CredentialFile) -> Option<String> {
    file.current().map(|token| token.secret.expose_secret().to_owned())
}

#[test]
fn a_file_holds_one_line_and_the_white_space_around_it_is_dropped() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    for content in ["key", "key\n", "  key\r\n", "\n\tkey \n\n"] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(*read(&path).unwrap(), "key", "{content:?}");
    }
}

#[test]
fn every_other_file_is_refused_with_its_reason() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let missing = read(&path).unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"one\rtwo", "more than one line"),
        (b"one two", "white space"),
        (b"one\0", "control character"),
        (b"\xef\xbb\xbfone", "no bearer key"),
        (b"\xff\xfeo\0n\0e\0", "control character"),
        (&[b'a'; MAX_BYTES + 1], "8 KiB"),
    ];
    for (content, reason) in cases {
        std::fs::write(&path, content).unwrap();
        let problem = read(&path).unwrap_err().to_string();
        let content = content.escape_ascii();
        assert!(problem.contains(reason), "{content}: {problem:?} lacks {reason:?}");
    }
    let folder = read(directory.path()).unwrap_err().to_string();
    assert!(folder.contains("not a regular file"), "{folder}");
    std::fs::write(&path, [b'a'; MAX_BYTES]).unwrap();
    assert_eq!(read(&path).unwrap().len(), MAX_BYTES);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_credential_is_kept_and_its_age_grows() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let file = CredentialFile::open("key", path.clone(), hasher()).await;
    assert_eq!((held(&file), file.stats().age, file.stats().failures), (None, None, 1));

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
    assert!(Arc::ptr_eq(&first, &file.current().unwrap()), "the same key is no rotation");
    std::fs::write(&path, "two").unwrap();
    file.reload().await;
    assert_eq!(held(&file).as_deref(), Some("two"));
    assert_eq!(
        file.stats(),
        FileStats { age: Some(Duration::ZERO), rotations: 1, failures: 2 }
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_same_length_within_one_tick_of_the_clock_is_seen() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let file = CredentialFile::open("key", path.clone(), hasher()).await;
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
    assert_eq!(held(&file).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_together_share_a_reading() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let file = CredentialFile::open("key", path.clone(), hasher()).await;
    let before = file.started.load(Ordering::SeqCst);
    std::fs::write(&path, "two").unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..100 {
        let file = Arc::clone(&file);
        readers.spawn(async move {
            file.reload().await;
            held(&file)
        });
    }
    for seen in readers.join_all().await {
        assert_eq!(seen.as_deref(), Some("two"));
    }
    let readings = file.started.load(Ordering::SeqCst) - before;
    // Two for those who ask; the paused clock may also bring some of the polls.
    assert!(readings < 10, "{readings} readings");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_does_not_deceive_those_behind_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let file = CredentialFile::open("key", path.clone(), hasher()).await;
    std::fs::write(&path, "two").unwrap();
    let (first, second) = (Arc::clone(&file), Arc::clone(&file));
    let first = tokio::spawn(async move { first.reload().await });
    let second = tokio::spawn(async move { second.reload().await });
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap();
    assert_eq!(held(&file).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn the_reading_stops_when_the_file_is_no_longer_needed() {
    let directory = TempDir::new().unwrap();
    let file = CredentialFile::open("key", directory.path().join("key"), hasher()).await;
    let held = Arc::downgrade(&file);
    drop(file);
    tokio::time::sleep(POLL * 2).await;
    assert_eq!(held.strong_count(), 0);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
