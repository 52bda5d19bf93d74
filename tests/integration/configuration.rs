//! The configuration file, `config print` and `check`, as operators use them.

use std::{fs, path::PathBuf};

use kit::{
    Caller, CredentialFiles, Fake, HOST, Protocol,
    caller::KEY,
    fake::{Response, Script, Step},
    over_both,
    process::{Process, command, run, run_command},
    tls::{self, Authority, TlsFiles, VALID},
};
use polytomic_gateway::sandbox::seed;
use tempfile::TempDir;
use tonic::Code;

/// The key that must never be found.
const CANARY: &str = "canary-7d1f9a52-key";

/// A configuration file in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gateway.toml"), content).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn flag(&self) -> String {
        format!("--config={}", self.path().display())
    }
}

/// Runs the program and returns its exit code and its two outputs.
async fn outcome(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let output = run(arguments, variables).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn gateway_is_configured_by_a_file() {
    let file = File::new(
        "listen = \"127.0.0.1:0\"\nsandbox = true\nlog-format = \"json\"\n\
         lame-duck = \"0s\"\n",
    );
    let path = file.path();
    let variable = [("POLYTOMIC_GATEWAY_CONFIG", path.to_str().unwrap())];
    for (arguments, variables) in [
        (vec!["serve", "--config", path.to_str().unwrap()], &[][..]),
        (vec!["serve"], &variable[..]),
    ] {
        let process = Process::start(&arguments, variables).await;
        assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
        process.signal("TERM").await;
        let (code, log) = process.wait().await;
        assert_eq!(code, Some(0));
        assert!(log.starts_with('{'), "the log is not JSON: {log}");
    }
}

#[tokio::test]
async fn flags_override_variables_and_variables_override_the_file() {
    let file = File::new("attempts = 4\ntimeout = '4s'\nread-timeout = '4s'\n");
    let variables = [
        ("POLYTOMIC_GATEWAY_ATTEMPTS", "3"),
        ("POLYTOMIC_GATEWAY_TIMEOUT", "3s"),
        // Empty, and so unset.
        ("POLYTOMIC_GATEWAY_READ_TIMEOUT", ""),
    ];
    let flag = file.flag();
    let arguments = ["config", "print", &flag, "--attempts", "2"];
    let (code, printed, error) = outcome(&arguments, &variables).await;
    assert_eq!((code, &*error), (Some(0), ""));
    let place = file.path();
    for line in [
        "attempts = 2 # --attempts".to_owned(),
        "timeout = \"3s\" # POLYTOMIC_GATEWAY_TIMEOUT".to_owned(),
        format!("read-timeout = \"4s\" # {}:3", place.display()),
        "connect-timeout = \"5s\" # default".to_owned(),
        "lame-duck = \"5s\" # default".to_owned(),
        "# partner-key-file is not set".to_owned(),
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
}

#[tokio::test]
async fn mistake_in_the_file_is_one_line_and_exit_code_2() {
    for (content, expected) in [
        ("\ntimeout = 'soon'", ":2: invalid value 'soon' for '--timeout <DURATION>'"),
        ("timeouts = '5s'", ":1: unknown key `timeouts` (did you mean `timeout`?)"),
        ("attempts = 1\nattempts = 2", ":2: the file is not valid TOML: duplicate key"),
        ("auth-mode = 'none'", "[possible values: passthrough, static]"),
        ("partner-key = 'canary-7d1f9a52-key'", "`partner-key` looks like a credential"),
        ("canary-7d1f9a52-key", ":1: the file is not valid TOML"),
    ] {
        let file = File::new(content);
        for command in [&["serve"][..], &["check"], &["config", "print"]] {
            let flag = file.flag();
            let (code, output, error) =
                outcome(&[command, &[&*flag]].concat(), &[]).await;
            assert_eq!((code, &*output), (Some(2), ""), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(
                error.contains("gateway.toml") && error.contains(expected),
                "{error}"
            );
            assert!(!error.contains(CANARY), "{error}");
        }
    }
    let (code, _, error) = outcome(&["serve", "--config", "/nowhere"], &[]).await;
    assert_eq!(code, Some(2));
    assert!(
        error.contains("the configuration file /nowhere: it cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn check_on_the_sandbox_finds_nothing() {
    let (code, report, error) = outcome(&["check", "--sandbox"], &[]).await;
    assert_eq!((code, &*error), (Some(0), ""), "{report}");
    assert_has(
        &report,
        "sandbox                      true                         --sandbox",
    );
    assert_has(&report, "ok       settings       a gateway would serve ");
    assert_has(&report, "ok       address        127.0.0.1 is 127.0.0.1");
    assert_has(&report, "GET /api/me without a key: Polytomic responded with 401");
    assert_has(&report, "skipped  key            there is none in passthrough mode");

    let key = [("POLYTOMIC_PARTNER_KEY", KEY)];
    let arguments = ["check", "--sandbox", "--auth-mode", "static"];
    let (code, report, error) = outcome(&arguments, &key).await;
    assert_eq!((code, &*error), (Some(0), ""), "{report}");
    assert_has(&report, "ok       key            Polytomic knows it: class partner, of ");
    let unchecked = [&arguments[..], &["--no-key-check"]].concat();
    let (code, report, _) = outcome(&unchecked, &key).await;
    assert_eq!(code, Some(0));
    assert_has(&report, "skipped  key            --no-key-check is set");
}

#[tokio::test]
async fn check_says_that_a_key_is_rejected() {
    for (key, expected) in [
        (CANARY, "Polytomic does not know the partner key"),
        (seed::USER_KEY, "one of class user, but the RPCs need a partner key"),
    ] {
        let files = CredentialFiles::new(key, "a-token-of-some-length");
        let arguments = [&["check", "--sandbox"][..], &files.flags()].concat();
        let (code, report, error) = outcome(&arguments, &[]).await;
        assert_eq!(code, Some(5), "{report}{error}");
        assert_has(&report, "failed   key            ");
        assert_has(&error, expected);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!(report + &error).contains(key));
    }
}

#[tokio::test]
async fn check_names_each_file_that_is_not_usable() {
    let files = CredentialFiles::new(CANARY, "short");
    let arguments = [&["check", "--sandbox"][..], &files.flags()].concat();
    let (code, report, error) = outcome(&arguments, &[]).await;
    assert_eq!(code, Some(3), "{report}{error}");
    assert_has(&report, "ok       partner key    read from ");
    assert_has(&report, "failed   caller token   ");
    assert_has(&report, "failed   key            ");
    let last = error.lines().last().unwrap();
    assert_has(last, "is not usable: a caller token has fewer than 16 characters");
    assert!(!(report + &error).contains(CANARY));

    for (file, expected) in [
        ("/nowhere", "/nowhere: it cannot be read"),
        ("/dev/null", "/dev/null: it is not a regular file"),
    ] {
        let arguments = ["check", "--upstream-ca-file", file];
        let (code, report, error) = outcome(&arguments, &[]).await;
        assert_eq!(code, Some(3), "{error}");
        assert_has(&report, "failed   upstream TLS   --upstream-ca-file ");
        assert_has(&error, expected);
    }
}

#[tokio::test]
async fn check_loads_the_certificates_of_the_listener() {
    let authority = Authority::new();
    let [issued, other] = [(); 2].map(|()| authority.issue(&[HOST], VALID));
    let files = TlsFiles::new(&issued, &authority);
    let arguments = [&["check", "--sandbox"][..], &files.mutual()].concat();
    let (code, report, error) = outcome(&arguments, &[]).await;
    assert_eq!((code, &*error), (Some(0), ""), "{report}");
    let expected = "ok       listener TLS   --tls-certificate-file until \
                    2120-01-01T00:00:00Z, --tls-client-ca-file until ";
    assert_has(&report, expected);

    files.put_contents([&issued.certificate, &other.key, &authority.pem()]);
    let mismatch = outcome(&arguments, &[]).await;
    let mut arguments = arguments;
    arguments[3] = "/nowhere";
    let missing = outcome(&arguments, &[]).await;
    for ((code, report, error), flag, problem) in [
        (mismatch, "--tls-key-file", "does not match the certificate of"),
        (missing, "--tls-certificate-file", "/nowhere: it cannot be read: No such file"),
    ] {
        assert_eq!(code, Some(3), "{report}{error}");
        assert_has(&report, &format!("failed   listener TLS   {flag} "));
        assert_has(&error, flag);
        assert_has(&error, problem);
        assert_eq!(error.lines().count(), 1, "{error}");
        // The other checks do not depend on the listener.
        assert_has(&report, "ok       response       ");
    }
}

#[tokio::test]
async fn check_connects_to_polytomic_over_both_protocols() {
    over_both(async |protocol| {
        let body = r#"{"status":401,"message":"no key"}"#;
        let fake = Fake::json_over(protocol, 401, body).await;
        let arguments = [&["check"][..], &fake.flags()].concat();
        let (code, report, error) = outcome(&arguments, &[]).await;
        assert_eq!((code, &*error), (Some(0), ""), "{report}");
        assert_has(&report, "ok       response       GET /api/me without a key: ");
        let request = fake.only();
        assert!(request.line.starts_with("GET /api/me "), "{}", request.line);
        assert_eq!(request.header("authorization"), None);
    })
    .await;
}

#[tokio::test]
async fn check_says_why_polytomic_is_unreachable() {
    let html = Response::new(404, &[("content-type", "text/html")], b"<html></html>");
    let proxy = Fake::responding(Protocol::Http1, [html]).await;
    let unavailable = Fake::json(503, "{}").await;
    let mut script = Script::new(Protocol::Http1, vec![vec![Step::Answer]]);
    script.tls = Some(tls::self_signed());
    let untrusted = Fake::playing(script).await;
    let listener = std::net::TcpListener::bind((HOST, 0)).unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (url, subject, expected) in [
        (&*proxy.url(), "response", "not in Polytomic's error format"),
        (&*unavailable.url(), "response", "Polytomic responded with 503"),
        (&*untrusted.url(), "response", "invalid peer certificate"),
        (&*closed, "response", "Connection refused"),
        (
            "https://gateway.invalid",
            "address",
            "gateway.invalid of --upstream-url has no",
        ),
    ] {
        let (code, report, error) = outcome(&["check", "--upstream-url", url], &[]).await;
        assert_eq!(code, Some(4), "{url}: {report}{error}");
        assert_has(&report, &format!("failed   {subject:<14} "));
        assert_has(&report, "skipped  key            nothing responds");
        assert_has(error.lines().last().unwrap(), expected);
    }
}

#[tokio::test]
async fn check_of_invalid_settings_is_exit_code_2() {
    let arguments = ["check", "--auth-mode", "static", "--timeout", "7s"];
    let (code, report, error) = outcome(&arguments, &[]).await;
    assert_eq!(code, Some(2));
    assert_has(
        &report,
        "timeout                      7s                           --timeout",
    );
    let problem = "--auth-mode static needs a partner key";
    assert_has(&report, &format!("failed   settings       {problem}"));
    assert_has(&error, problem);
}

/// The output of no command has a key, wherever an operator has put it.
#[tokio::test]
async fn no_command_shows_a_secret() {
    let files = CredentialFiles::new(CANARY, &format!("{CANARY}-token"));
    let [_, _, _, key, _, token] = files.flags();
    let file = File::new(&format!(
        "partner-key-file = '{key}'\ncaller-token-file = '{token}'\nsandbox = true\n\
         auth-mode = 'static'\n"
    ));
    let url = format!("https://user:{CANARY}@polytomic.example");
    let flag = file.flag();
    let static_mode = ["--sandbox", "--auth-mode", "static"];
    let wrong_file = format!("--config={key}");
    for (arguments, variable) in [
        (vec!["check", &*flag], None),
        (vec!["check", &flag, "--log", "trace"], None),
        (vec!["config", "print", &flag], None),
        (vec!["config", "print", "--default"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (vec!["config", "print"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (
            [&["check"], &static_mode[..]].concat(),
            Some(("POLYTOMIC_PARTNER_KEY", CANARY)),
        ),
        (vec!["serve", "--help"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (vec!["serve", "--help"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["config", "print"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["check"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["serve"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["check", &wrong_file], None),
        (vec!["serve", &wrong_file], None),
        (vec!["config", "print", &wrong_file], None),
    ] {
        let mut command = command(&arguments, &[]);
        command.envs(variable);
        let output = run_command(command).await;
        let written = [output.stdout, output.stderr].concat();
        let written = String::from_utf8(written).unwrap();
        assert!(!written.is_empty(), "{arguments:?}");
        assert!(!written.contains(CANARY), "{arguments:?}: {written}");
    }
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "without {part:?}: {text}");
}
