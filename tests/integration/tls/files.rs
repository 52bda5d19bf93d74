//! Files that cannot be used are named at start, and no key is shown.

use kit::{
    process::{Process, run},
    tls::{Authority, TlsFiles, VALID},
};

use super::EXPIRED;

/// Runs a gateway with flags that are not valid, and returns its one line.
async fn usage_error(flags: &[&str]) -> String {
    let arguments = [&["serve", "--listen", "127.0.0.1:0", "--sandbox"], flags].concat();
    let output = run(&arguments, &[]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
    lines.last().unwrap().to_string()
}

#[tokio::test]
async fn flags_that_need_each_other_are_named() {
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &authority);
    let [_, certificate, _, key, _, ca] = files.mutual();
    for (flags, expected) in [
        (
            &["--tls-certificate-file", certificate][..],
            "--tls-certificate-file needs --tls-key-file; set both, or remove both",
        ),
        (&["--tls-key-file", key], "--tls-key-file needs --tls-certificate-file;"),
        (
            &["--tls-client-ca-file", ca],
            "--tls-client-ca-file needs --tls-certificate-file and --tls-key-file;",
        ),
        (
            &["--tls-client-auth", "required"],
            "--tls-client-auth needs --tls-client-ca-file; set that too, or set off",
        ),
        (&["--tls-client-auth", "maybe"], "[possible values: off, optional, required]"),
    ] {
        let error = usage_error(flags).await;
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
    let alone = run(&["serve", "--upstream-key-file", key], &[]).await;
    let error = String::from_utf8(alone.stderr).unwrap();
    let expected = "--upstream-key-file needs --upstream-certificate-file;";
    assert!(error.contains(expected), "{error}");
    for target in [&["--sandbox"][..], &["--upstream-url", "http://127.0.0.1:9"]] {
        for file in files.upstream().chunks_exact(2) {
            let output = run(&[&["serve"], target, file].concat(), &[]).await;
            let error = String::from_utf8(output.stderr).unwrap();
            let expected = format!("{} is for an https --upstream-url", file[0]);
            assert!(error.contains(&expected), "{error}");
        }
    }
}

#[tokio::test]
async fn file_that_cannot_be_used_is_one_line_without_its_content() {
    let authority = Authority::new();
    let issued = authority.issue(&[kit::HOST], VALID);
    let other = authority.issue(&[kit::HOST], VALID);
    let files = TlsFiles::new(&issued, &authority);
    let on_one_line = issued.key.replace('\n', " ");
    let encrypted = issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (contents, expected) in [
        (["", &*issued.key, ""], "tls.crt: it has no certificate"),
        ([&*issued.certificate, "", ""], "tls.key: it has no private key"),
        ([&*issued.certificate, &other.key, ""], "tls.key: its key does not match"),
        ([&*issued.certificate, &encrypted, ""], "tls.key: its key is encrypted"),
        ([&*issued.certificate, &on_one_line, ""], "tls.key: it is not PEM"),
        ([&*issued.certificate, &issued.key, ""], "ca.crt: it has no certificate"),
    ] {
        files.put_contents(contents);
        let error = usage_error(&files.mutual()).await;
        assert!(error.contains(expected), "{expected}: {error}");
        for line in [&issued, &other].iter().flat_map(|issued| issued.key.lines()) {
            let is_secret = !line.starts_with('-');
            assert!(
                !is_secret || !error.contains(&line[..line.len().min(12)]),
                "{error}"
            );
        }
    }
    let missing = ["--tls-certificate-file", "/nowhere", "--tls-key-file", "/nowhere"];
    let error = usage_error(&missing).await;
    assert!(
        error.contains("--tls-certificate-file /nowhere: it cannot be read: No such")
    );
}

#[tokio::test]
async fn certificate_that_is_not_valid_now_is_served_with_a_warning() {
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[kit::HOST], EXPIRED), &authority);
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &files.flags()].concat(), &[]).await;
    process.signal("TERM").await;
    let (code, log) = process.wait().await;
    assert_eq!(code, Some(0), "{log}");
    let warning = log.lines().find(|line| line.contains("certificate is not valid now"));
    let warning = warning.unwrap_or_else(|| panic!("{log}"));
    assert!(warning.contains("WARN") && warning.contains("problem=\"expired\""), "{log}");
    assert!(warning.contains("date=\"2020-01-01T00:00:00Z\""), "{log}");
    assert!(warning.contains("tls.crt"), "{log}");
}

#[tokio::test]
async fn no_part_of_a_key_is_logged() {
    let authority = Authority::new();
    let issued = authority.issue(&[kit::HOST], VALID);
    let files = TlsFiles::new(&issued, &authority);
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--log", "trace"];
    let process = Process::start(&[&arguments[..], &files.mutual()].concat(), &[]).await;
    let tls = super::connector(authority.client(Some(&issued)));
    let reply = kit::Caller::list(process.address).tls(&tls).send().await;
    assert_eq!(reply.code(), tonic::Code::Ok);
    let on_one_line = issued.key.replace('\n', " ");
    files.put_contents([&issued.certificate, &on_one_line, &authority.pem()]);
    process.signal("HUP").await;
    process.logs("listener certificates are not usable", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    assert!(log.contains("TRACE"), "the log level is not trace");
    for line in issued.key.lines().filter(|line| !line.starts_with('-')) {
        for part in line.as_bytes().chunks_exact(12) {
            let part = str::from_utf8(part).unwrap();
            assert!(!log.contains(part), "{part}");
        }
    }
}
