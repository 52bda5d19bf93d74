#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::config::declarations;

/// What no error may show.
const CANARY: &str = "canary-7d1f9a52";

fn read(content: &[u8]) -> Result<Vec<Entry>, Error> {
    parse(Path::new("gateway.toml"), content, &declarations())
}

#[test]
fn values_have_the_types_of_toml() {
    let file = "\u{feff}# A comment.\n\
        timeout = \"250ms\"\r\n\
        read-timeout = 7\n\
        connect-timeout = 2.5\n\
        answer-limit = \"4MiB\"\n\
        answer-memory = 0x1000_0000\n\
        attempts = 2\n\
        no-key-check = true\n\
        rpc-timeout = [\n  \"A=1s\",\n  \"B=2s\",\n]\n\
        log = 'debug'\n";
    let entries = read(file.as_bytes()).unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (&*entry.key, entry.values.join("|"), entry.place.line))
        .collect();
    let expected = [
        ("timeout", "250ms", 2),
        ("read-timeout", "7", 3),
        ("connect-timeout", "2.5", 4),
        ("answer-limit", "4MiB", 5),
        ("answer-memory", "268435456", 6),
        ("attempts", "2", 7),
        ("no-key-check", "true", 8),
        ("rpc-timeout", "A=1s|B=2s", 9),
        ("log", "debug", 13),
    ];
    assert_eq!(found, expected.map(|(key, value, line)| (key, value.to_owned(), line)));
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn errors_name_the_file_the_line_and_the_fix() {
    for (line, expected) in [
        (
            "timeout = true",
            "`timeout` has a value of the wrong type; give a time in quotes",
        ),
        (
            "listen = 50051",
            "`listen` has a value of the wrong type; give a text in quotes",
        ),
        ("attempts = \"3\"", "give a whole number, without quotes"),
        ("attempts = 3.0", "give a whole number, without quotes"),
        ("sandbox = \"true\"", "give true or false, without quotes"),
        ("rpc-timeout = [5]", "give a list of texts"),
        ("timeout = 2026-11-28", "wrong type"),
        ("timeout = {s = 5}", "wrong type"),
        (
            "write_timeout = \"5s\"",
            "unknown key `write_timeout` (did you mean `write-timeout`?)",
        ),
        ("timeouts = \"5s\"", "did you mean `timeout`?"),
        ("config = \"other.toml\"", "unknown key `config`"),
        ("[server]", "unknown key `server`; docs/configuration.md lists the keys"),
        ("zzz = 1", "unknown key `zzz`; docs/configuration.md lists the keys"),
        ("no-key-checks = true", "did you mean `no-key-check`?"),
        ("partner_key_file = \"/key\"", "did you mean `partner-key-file`?"),
        ("timeout = \"5s", "not valid TOML"),
        ("timeout", "not valid TOML"),
        ("upstream-connections = 2", "duplicate key"),
    ] {
        let content = format!("# Comment.\nupstream-connections = 1\n{line}\n");
        let error = read(content.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("gateway.toml:3: "), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn credentials_do_not_belong_in_the_file() {
    let files = "name that with `partner-key-file` or `caller-token-file`";
    for key in [
        "partner-key",
        "partner_key",
        "POLYTOMIC_PARTNER_KEY",
        "caller-token",
        "password",
        "client-secret",
        "authorization",
    ] {
        let error = read(format!("{key} = '{CANARY}'").as_bytes()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Credential { .. }), "{text}");
        assert!(text.contains(key) && text.contains(files), "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

/// An operator may name the wrong file, such as that of the key.
#[test]
fn no_error_shows_the_text_of_the_file() {
    for content in [
        format!("{CANARY}\n"),
        format!("{CANARY} {CANARY}"),
        format!("log = '{CANARY}"),
        format!("log = {CANARY}"),
        format!("log = \"{CANARY}\\q\""),
        format!("log = '{CANARY}' {CANARY}"),
        format!("unknown = '{CANARY}'"),
        format!("attempts = '{CANARY}'"),
        format!("[{CANARY}\n"),
        format!("timeout = ['{CANARY}']"),
    ] {
        let error = read(content.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{content}: {error}");
    }
}

proptest! {
    #[test]
    fn no_file_panics(content in any::<Vec<u8>>(), text in "([a-z-]* = ['\\[{0-9a-z]*\n)*") {
        let _ = (read(&content), read(text.as_bytes()));
    }
}

#[test]
fn other_files_are_named() {
    let error = |content: &[u8]| read(content).unwrap_err().to_string();
    assert!(error(b"\xff\xfea\0=\0").contains("UTF-16; save it as UTF-8"));
    let latin = error(b"# ok\nlog = '\xe9'\n");
    assert!(latin.starts_with("gateway.toml:2: the line is not UTF-8"), "{latin}");
    let known = declarations();
    let of = |path: &Path| super::read(path, &known).unwrap_err().to_string();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let error = of(&missing);
    assert!(error.contains("none.toml: it cannot be read: No such file"), "{error}");
    assert!(of(folder.path()).contains("it is not a regular file"));
    let large = folder.path().join("large.toml");
    std::fs::write(&large, "#".repeat(256 * 1024)).unwrap();
    assert_eq!(super::read(&large, &known).unwrap(), []);
    std::fs::write(&large, "#".repeat(256 * 1024 + 1)).unwrap();
    assert!(of(&large).contains("it is longer than 256 KiB"));
}
