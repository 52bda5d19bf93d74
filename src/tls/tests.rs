#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use kit::tls::{Authority, Issued, VALID};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;

use super::*;

fn leaf(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[test]
fn identity_is_the_best_name_of_a_strict_form() {
    let authority = Authority::new();
    let long = format!("spiffe://mesh/{}", "x".repeat(2048));
    let subject = Some("CN=orders");
    for (names, expected) in [
        (&["spiffe://mesh.example/ns/shop/sa/orders"][..], None),
        (&["orders.example.com", "spiffe://mesh/orders"], Some("spiffe://mesh/orders")),
        (&["urn:orders", "orders.example.com"], Some("orders.example.com")),
        (&["*.example.com"], None),
        (&["https://orders.example.com/a"], None),
        (&["orders@example.com", "urn:orders"], Some("urn:orders")),
        (&["orders@example.com"], None),
        (&["10.0.0.7"], subject),
        (&[], subject),
        // Names that could pass for another, or for several.
        (&["a.example.com, CN=admin"], subject),
        (&["CN=admin"], subject),
        (&["a b@example.com"], subject),
        (&["spiffe//mesh/admin", "b.example.com"], Some("b.example.com")),
        // No SVIDs.
        (&["spiffe://mesh/a", "spiffe://mesh/b", "a.example.com"], Some("")),
        (&["spiffe://mesh/a", "urn:b"], Some("")),
        (&["spiffe://mesh"], Some("")),
        (&["spiffe://mesh/"], Some("")),
        (&["spiffe://mesh/a/../b"], Some("")),
        (&["spiffe://mesh/a/"], Some("")),
        (&["spiffe://mesh//a"], Some("")),
        (&["spiffe://Mesh/a"], Some("")),
        (&["SPIFFE://mesh/a"], Some("")),
        (&["spiffe:///a"], Some("")),
        (&["spiffe://mesh/a%2f"], Some("")),
        (&["spiffe://mesh/a?b"], Some("")),
        (&[&*long], Some("")),
    ] {
        // The first name, unless another is expected, or none.
        let expected = expected.unwrap_or_else(|| names[0]);
        let issued = authority.issue(names, VALID);
        let found = identity::of(&leaf(&issued));
        let found = found.as_ref().map_or("", |identity| identity.as_str());
        assert_eq!(found, expected, "{names:?}");
    }
}

/// The files of a listener in a directory.
struct Files(TempDir);

impl Files {
    fn new(certificate: &str, key: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        fs::write(files.path("certificate"), certificate).unwrap();
        fs::write(files.path("key"), key).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, flag: &'static str, name: &str) -> PemFile {
        PemFile { flag, path: self.path(name) }
    }

    fn server(&self) -> ServerFiles {
        let certificate = self.file("--certificate", "certificate");
        let pair = KeyPair { certificate, key: self.file("--key", "key") };
        ServerFiles { pair, client_ca: None, client_auth: ClientAuth::Off }
    }

    /// Returns the problem of the files, without the path of their directory.
    fn problem(&self) -> String {
        let problem = self.server().load().unwrap_err().to_string();
        problem.replace(self.0.path().to_str().unwrap(), "")
    }
}

/// Returns the key as one line, as templates of deployments leave it.
fn on_one_line(pem: &str) -> String {
    pem.replace('\n', " ")
}

#[test]
fn each_file_that_cannot_be_used_is_named_with_its_problem() {
    let root = Authority::new();
    let below = root.intermediate();
    let issued = below.issue(&["gateway.example.com"], VALID);
    let chain = issued.clone().with_issuer(&below).certificate;
    let (leaf, key) = (&*issued.certificate, &*issued.key);
    let other = root.issue(&["gateway.example.com"], VALID);
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let junk_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cases: &[(&str, &str, &str)] = &[
        ("", key, "--certificate /certificate: it has no certificate"),
        (key, key, "--certificate /certificate: it has no certificate"),
        (junk, key, "--certificate /certificate: its certificate 1 cannot be read"),
        (leaf, "", "--key /key: it has no private key"),
        (leaf, leaf, "--key /key: it has no private key"),
        (leaf, junk_key, "--key /key: its key cannot be used"),
        (
            leaf,
            &other.key,
            "--key /key: its key does not match the certificate of --cert",
        ),
        (leaf, &encrypted, "--key /key: its key is encrypted; decrypt it"),
        (leaf, old, "--key /key: its key is encrypted; decrypt it"),
        (leaf, &[key, &*other.key].concat(), "--key /key: it has 2 private keys"),
        (leaf, &on_one_line(key), "--key /key: it is not PEM: a section has no end line"),
        (leaf, &key.replacen('\n', "", 1), "--key /key: it is not PEM: a line of BEGIN"),
        (leaf, &key[..key.len() / 2], "--key /key: it is not PEM: a section has no end"),
        (
            leaf,
            &key.replace('M', "!"),
            "--key /key: it is not PEM: a section is not base64",
        ),
        (
            &[&*below.pem(), leaf].concat(),
            key,
            "--certificate /certificate: its certificate 2 is that of the key; put it first",
        ),
        (
            &[leaf, &*root.pem(), &*below.pem()].concat(),
            key,
            "--certificate /certificate: its certificate 2 has issued none of those before",
        ),
    ];
    for (certificate, key, expected) in cases {
        let problem = Files::new(certificate, key).problem();
        assert!(problem.starts_with(expected), "{expected}: {problem}");
        // No part of a key, as long as that cannot be chance.
        let parts = issued.key.lines().filter(|line| !line.starts_with('-'));
        for part in parts.filter_map(|line| line.get(..12)) {
            assert!(!problem.contains(part), "{problem}");
        }
    }
    // The same issuer, certified by two, may be there twice.
    let twice = [&*chain, &*below.pem(), &*root.pem()].concat();
    for certificate in [leaf, &chain, &twice] {
        Files::new(certificate, key).server().load().unwrap();
    }
}

#[test]
fn file_that_cannot_be_read_is_named_with_its_problem() {
    let issued = Authority::new().issue(&["gateway.example.com"], VALID);
    let files = Files::new(&issued.certificate, &issued.key);
    fs::remove_file(files.path("key")).unwrap();
    assert!(files.problem().starts_with("--key /key: it cannot be read: No such file"));
    fs::create_dir(files.path("key")).unwrap();
    assert_eq!(files.problem(), "--key /key: it is not a regular file");
    fs::write(files.path("certificate"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert_eq!(files.problem(), "--certificate /certificate: it is longer than 1024 KiB");
}

#[test]
fn authorities_that_cannot_be_used_are_named() {
    let issued = Authority::new().issue(&["gateway.example.com"], VALID);
    let files = Files::new(&issued.certificate, &issued.key);
    fs::write(files.path("ca"), "").unwrap();
    let client_ca = Some(files.file("--client-ca", "ca"));
    for client_auth in [ClientAuth::Off, ClientAuth::Optional, ClientAuth::Required] {
        let server =
            ServerFiles { client_ca: client_ca.clone(), client_auth, ..files.server() };
        let problem = server.load().unwrap_err().to_string();
        assert!(problem.contains("--client-ca") && problem.ends_with("no certificate"));
    }
}

async fn replaced(files: &Files, name: &str, content: &str, server: &ServerTls) -> Stats {
    fs::write(files.path(name), content).unwrap();
    server.reload().await;
    server.stats()
}

fn names(stats: &Stats) -> Vec<&str> {
    stats.certificates.iter().map(|one| &*one.name).collect()
}

#[tokio::test(start_paused = true)]
async fn last_good_files_stay_in_use_and_each_change_is_tried_once() {
    let authority = Authority::new();
    let [first, second] =
        ["first.example", "second.example"].map(|name| authority.issue(&[name], VALID));
    let files = Files::new(&first.certificate, &first.key);
    let server = files.server().load().unwrap();
    let config = server.config();
    assert_eq!(names(&server.stats()), ["first.example"]);

    // As if the certificate were written before the key.
    let bad = replaced(&files, "certificate", &second.certificate, &server).await;
    assert_eq!((bad.rotations, bad.failures), (0, 1));
    assert!(bad.problem.as_ref().unwrap().contains("does not match"), "{bad:?}");
    assert_eq!(names(&bad), ["first.example"]);
    server.reload().await;
    assert_eq!(server.stats().failures, 1, "the same files are not tried again");
    assert!(Arc::ptr_eq(&config, &server.config()));

    let good = replaced(&files, "key", &second.key, &server).await;
    assert_eq!((good.rotations, good.failures, &good.problem), (1, 1, &None));
    assert_eq!(names(&good), ["second.example"]);
    assert!(!Arc::ptr_eq(&config, &server.config()));

    fs::remove_file(files.path("key")).unwrap();
    server.reload().await;
    server.reload().await;
    assert!(server.stats().problem.is_some());
    let back = replaced(&files, "key", &second.key, &server).await;
    assert_eq!((back.rotations, back.problem), (1, None), "nothing has changed");
}

#[test]
fn certificate_in_use_that_soon_expires_and_has_is_logged_once_each() {
    let issued = Authority::new().issue(&["gateway.example.com"], VALID);
    let files = Files::new(&issued.certificate, &issued.key);
    let server = files.server().load().unwrap();
    let Certificate { not_before, not_after, .. } = server.stats().certificates[0];
    let day = Duration::from_secs(24 * 3600);
    for (now, expected) in [
        (not_after - 8 * day, 0),
        (not_after - 6 * day, 1),
        (not_after - 5 * day, 0),
        (not_after + day, 1),
        (not_after + 2 * day, 0),
        // A clock that is set back.
        (not_before - day, 1),
        (not_before + day, 0),
        (not_after - day, 1),
    ] {
        assert_eq!(server.warn_of_dates(now), expected, "{now:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_read_without_a_signal() {
    let authority = Authority::new();
    let issued = |name| authority.issue(&[name], VALID);
    let (first, second) = (issued("first.example"), issued("second.example"));
    let files = Files::new(&first.certificate, &first.key);
    let server = files.server().load().unwrap();
    server.watch();
    fs::write(files.path("certificate"), &second.certificate).unwrap();
    fs::write(files.path("key"), &second.key).unwrap();
    tokio::time::sleep(2 * crate::files::POLL).await;
    assert_eq!(server.stats().rotations, 1);
    assert_eq!(names(&server.stats()), ["second.example"]);
    let alive = Arc::downgrade(&server);
    drop(server);
    tokio::time::sleep(2 * crate::files::POLL).await;
    assert_eq!(alive.strong_count(), 0);
}

#[test]
fn dates_and_files_of_certificates_are_data() {
    let authority = Authority::new();
    let issued = authority.issue(&["gateway.example.com"], [2021, 2031]);
    let files = Files::new(&issued.certificate, &issued.key);
    fs::write(files.path("ca"), authority.pem()).unwrap();
    let client_ca = Some(files.file("--client-ca", "ca"));
    let server =
        ServerFiles { client_ca, client_auth: ClientAuth::Required, ..files.server() };
    let stats = server.load().unwrap().stats();
    let [own, ca] = &stats.certificates[..] else { panic!("{stats:?}") };
    assert_eq!((own.flag, &*own.name), ("--certificate", "gateway.example.com"));
    let dates = [own.not_before, own.not_after].map(certificate::rfc3339);
    assert_eq!(dates, ["2021-01-01T00:00:00Z", "2031-01-01T00:00:00Z"]);
    assert_eq!((ca.flag, &*ca.path), ("--client-ca", &*files.path("ca")));
    assert!(ca.name.contains("a test authority"), "{ca:?}");
}

#[test]
fn key_is_in_no_debug_output() {
    let issued = Authority::new().issue(&["gateway.example.com"], VALID);
    let files = Files::new(&issued.certificate, &issued.key);
    let server = files.server();
    let shown = format!("{server:?} {:?}", server.clone().load());
    for line in issued.key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(&line[..12]), "{shown}");
    }
}
