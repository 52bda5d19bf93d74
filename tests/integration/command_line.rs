//! The program as operators use it: flags, exit codes, signals.

use std::{ffi::OsStr, fs, io::Write, os::unix::ffi::OsStrExt};

use clap::CommandFactory;
use polytomic_gateway::config::Cli;
use tempfile::{NamedTempFile, TempDir};
use tokio::process::Command;
use tonic::Code;

use kit::{
    Caller,
    caller::KEY,
    held::Held,
    process::{Process, command, run, run_command},
    tls::Authority,
};

/// Runs the program with invalid settings and returns its error.
async fn usage_error(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    usage_error_of(command(arguments, variables)).await
}

async fn usage_error_of(command: Command) -> String {
    let called = format!("{command:?}");
    let output = run_command(command).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{called}: {error}");
    assert!(output.stdout.is_empty(), "{called}");
    assert_eq!(error.lines().count(), 1, "{called}: {error}");
    assert!(error.starts_with("polytomic-gateway: "), "{error}");
    error
}

/// Arguments, variables, and a part of the error.
type Mistake<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn invalid_settings_are_one_line_and_exit_code_2() {
    let own = |seconds: &str| format!("ListPartnerSharedConnections={seconds}");
    let static_mode = ["serve", "--listen", "127.0.0.1:0", "--auth-mode", "static"];
    let cases: [Mistake<'_>; 35] = [
        (&["nonsense"], &[], "unrecognized subcommand 'nonsense'"),
        (&["serve", "--nonsense"], &[], "unexpected argument '--nonsense'"),
        (&["serve", "--listen", "here"], &[], "--listen"),
        (&["serve", "--listen", "127.0.0.1:70000"], &[], "--listen"),
        (&["serve"], &[("POLYTOMIC_GATEWAY_LISTEN", "here")], "--listen"),
        (&["serve", "--timeout", "soon"], &[], "give a time such as 5s, 250ms"),
        (&["serve", "--timeout", "0"], &[], "give more than 0"),
        (&["serve", "--rpc-timeout", "5"], &[], "give an RPC, = and its timeout"),
        (&["serve", "--rpc-timeout", &own("soon")], &[], "give a time such as 5s"),
        (&["serve", "--rpc-timeout", &own("0s")], &[], "give more than 0"),
        (
            &["serve", "--rpc-timeout", "Nope=5"],
            &[],
            "no RPC \"Nope\"; use one of CreatePartnerSharedConnection, ListPartnerSharedConnections",
        ),
        (
            &["serve", "--rpc-timeout", &own("5"), "--rpc-timeout", &own("6")],
            &[],
            "ListPartnerSharedConnections is given twice",
        ),
        (
            &["serve"],
            &[("POLYTOMIC_GATEWAY_RPC_TIMEOUT", &format!("{},Nope=6", own("5")))],
            "no RPC \"Nope\"",
        ),
        (&["serve", "--log", "verbose"], &[], "is not a level"),
        (&["serve", "--answer-limit", "32M"], &[], "give a size such as 4MiB, 64KiB"),
        (&["serve", "--answer-limit", "1000000000"], &[], "give at most 512MiB"),
        (&["serve", "--answer-memory", "1000"], &[], "allows responses of"),
        (&["serve", "--api-version", "latest"], &[], "2025-09-18"),
        (
            &["serve", "--api-version", "2024-02-08"],
            &[],
            "--api-version: 2024-02-08 does not have",
        ),
        (&["serve", "--upstream-url", "ftp://x"], &[], "use https"),
        (&["serve", "--upstream-url", "http://polytomic.example"], &[], "unencrypted"),
        (
            &["serve", "--upstream-url", "https://u:secret@x"],
            &[],
            "user name or password",
        ),
        (&["serve", "--upstream-url", "https://https://x"], &[], "the host is https"),
        (&["serve", "--upstream-url", "https:/x.example"], &[], "the host is https"),
        (&["serve", "--upstream-url", "http//x.example"], &[], "the host is http"),
        (&["serve", "--upstream-url", "https://x.example//api"], &[], "the path has //"),
        (
            &["serve", "--upstream-url", "https://x..example"],
            &[],
            "--upstream-url is not valid: the host x..example is not a name",
        ),
        (
            &["serve", "--upstream-url", "https://-x.example"],
            &[],
            "the host -x.example is",
        ),
        (&["serve", "--upstream-url", "unix:/tmp/x"], &[], "the host is unix"),
        (&["serve", "--upstream-url", "tcp:8080"], &[], "the host is tcp"),
        (&["serve", "--sandbox", "--upstream-url", "https://x"], &[], "remove one"),
        (&["serve", "--log", "a=b=c"], &[], "parsing level filter"),
        (&["serve", "--partner-key-file", "key"], &[], "--auth-mode static"),
        (&static_mode, &[], "needs a partner key"),
        (
            &["serve", "--listen", "0.0.0.0:0", "--auth-mode", "static"],
            &[("POLYTOMIC_PARTNER_KEY", "secret-key")],
            "loopback",
        ),
    ];
    for (arguments, variables, expected) in cases {
        let error = usage_error(arguments, variables).await;
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn empty_variables_count_as_unset() {
    let mut command = Cli::command();
    command.build();
    let mut names: Vec<String> = command
        .get_subcommands()
        .chain([&command])
        .flat_map(clap::Command::get_arguments)
        .filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned()))
        .collect();
    names.push("POLYTOMIC_PARTNER_KEY".to_owned());
    assert!(names.len() > 20, "{names:?}");
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
    let process =
        Process::start(&["serve", "--sandbox", "--listen", "127.0.0.1:0"], &empty).await;
    assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
}

/// Starts a gateway and returns its log until it listens.
async fn log_at_start(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let process = Process::start(&[&["serve"], arguments].concat(), variables).await;
    process.signal("TERM").await;
    process.wait().await.1
}

#[tokio::test]
async fn what_is_open_to_a_network_is_named_at_start() {
    let credentials = "clients send keys unencrypted";
    let sandbox = "the sandbox is open to other hosts";
    let url = ["--upstream-url", "polytomic", "--lame-duck", "0"];
    let log = log_at_start(&["--sandbox", "--listen", "0.0.0.0:0"], &[]).await;
    assert!(log.contains(sandbox), "{log}");
    let log = log_at_start(&[&url[..], &["--listen", "0.0.0.0:0"]].concat(), &[]).await;
    assert!(log.contains(credentials) && !log.contains(sandbox), "{log}");
    for loopback in ["127.0.0.1:0", "[::ffff:127.0.0.1]:0"] {
        for target in [&["--sandbox"][..], &url] {
            let log =
                log_at_start(&[target, &["--listen", loopback]].concat(), &[]).await;
            assert!(!log.contains(credentials) && !log.contains(sandbox), "{log}");
        }
    }
}

#[tokio::test]
async fn proxy_variables_that_are_ignored_are_named_at_start() {
    let url = ["--upstream-url", "polytomic.example", "--lame-duck", "0"];
    let arguments = [&url[..], &["--listen", "127.0.0.1:0"]].concat();
    let proxies =
        [("HTTPS_PROXY", "http://u:secret@p:1"), ("all_proxy", "p"), ("HTTP_PROXY", "")];
    let log = log_at_start(&arguments, &proxies).await;
    let line = log.lines().find(|line| line.contains("proxy variables")).unwrap();
    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains("HTTPS_PROXY") && line.contains("all_proxy"), "{line}");
    assert!(!log.contains("secret") && !line.contains("HTTP_PROXY,"), "{log}");
}

#[tokio::test]
async fn hangup_logs_a_sentence() {
    let process =
        Process::start(&["serve", "--sandbox", "--listen", "127.0.0.1:0"], &[]).await;
    process.signal("HUP").await;
    process.logs("there are no files to read again", 1).await;
    process.signal("TERM").await;
    let (_, log) = process.wait().await;
    assert!(!log.contains("Stats {"), "{log}");
}

#[tokio::test]
async fn unusable_ca_file_is_invalid() {
    let file = |content: &[u8]| {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    };
    // Three bytes, which are no certificate.
    let junk = file(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cut = file(b"-----BEGIN CERTIFICATE-----\nAAAA\n");
    let illegal = file(b"-----BEGIN CERTIFICATE\nAAAA\n");
    let other = file(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let utf16 = file(b"\xff\xfe-\0-\0-\0-\0-\0");
    let path = |file: &NamedTempFile| file.path().to_str().unwrap().to_owned();
    for (file, expected) in [
        ("/nowhere".to_owned(), "it cannot be read: No such file"),
        ("/dev/null".to_owned(), "it is not a regular file"),
        (path(&junk), "its certificate 1 cannot be read"),
        (path(&cut), "it is not PEM: a section has no end line"),
        (path(&illegal), "it is not PEM: a line of BEGIN"),
        (path(&other), "it is not PEM: a section is not base64"),
        (path(&utf16), "it is UTF-16; save it as UTF-8"),
    ] {
        let error = usage_error(&["serve", "--upstream-ca-file", &file], &[]).await;
        assert!(error.contains("--upstream-ca-file "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn byte_order_mark_before_the_ca_certificates_is_skipped() {
    let certificate = fs::read(Authority::new().file()).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&[b"\xef\xbb\xbf", &certificate[..]].concat()).unwrap();
    let file = file.path().to_str().unwrap();
    let url = ["--upstream-url", "polytomic", "--lame-duck", "0"];
    let flags = ["--listen", "127.0.0.1:0", "--upstream-ca-file", file];
    log_at_start(&[url, flags].concat(), &[]).await;
}

#[tokio::test]
async fn named_pipe_is_rejected_and_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
    assert!(made.success());
    let pipe = pipe.to_str().unwrap();
    for flag in ["--upstream-ca-file", "--config"] {
        for command in ["serve", "check"] {
            let output = run(&[command, flag, pipe], &[]).await;
            let error = String::from_utf8(output.stderr).unwrap();
            assert_ne!(output.status.code(), Some(0), "{error}");
            assert!(error.contains("it is not a regular file"), "{error}");
        }
    }
}

#[tokio::test]
async fn partner_key_that_is_not_text_is_invalid_and_not_shown() {
    for mode in ["static", "passthrough"] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--auth-mode", mode];
        let mut command = command(&arguments, &[]);
        command.env("POLYTOMIC_PARTNER_KEY", OsStr::from_bytes(b"zyxw-\xffvuts"));
        let error = usage_error_of(command).await;
        assert!(error.contains("POLYTOMIC_PARTNER_KEY is not"), "{error}");
        assert!(!error.contains("zyxw") && !error.contains("vuts"), "{error}");
    }
}

#[tokio::test]
async fn byte_order_mark_before_the_partner_key_is_skipped() {
    let arguments =
        ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--auth-mode", "static"];
    let key = format!("\u{feff}{KEY}");
    let process = Process::start(&arguments, &[("POLYTOMIC_PARTNER_KEY", &key)]).await;
    assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
}

#[tokio::test]
async fn address_in_use_is_one_line_and_exit_code_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for command in [
        &["serve", "--sandbox", "--listen", &address][..],
        &["sandbox", "--listen", &address],
    ] {
        let output = run(command, &[("POLYTOMIC_GATEWAY_LOG", "error")]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
    }
}

#[tokio::test]
async fn help_and_version_exit_with_code_0() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["help", "sandbox"], &["--version"]]
    {
        let output = run(arguments, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn demo_lists_shares_and_lists_again() {
    let output = run(&["demo"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("OK, 2 shared copies"), "{shown}");
    assert!(shown.contains("OK, 3 shared copies"), "{shown}");
    assert!(shown.contains("grpcurl -plaintext"), "{shown}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn signal_stops_the_gateway_cleanly() {
    for signal in ["TERM", "INT"] {
        let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
        let process = Process::start(&arguments, &[]).await;
        let reply = Caller::list(process.address).send().await;
        assert_eq!(reply.code(), Code::Ok);
        process.signal(signal).await;
        let (code, written) = process.wait().await;
        assert_eq!(code, Some(0), "{written}");
        assert!(written.contains("the gateway has stopped"), "{written}");
    }
}

#[tokio::test]
async fn second_signal_stops_a_lame_duck_immediately() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "TERM")] {
        let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
        let lame_duck = ["--lame-duck", "3600"];
        let arguments = [&arguments[..], &lame_duck].concat();
        let process = Process::start(&arguments, &[]).await;
        process.signal(first).await;
        process.logs("lame duck", 1).await;
        assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
        assert_stops_immediately(process, second).await;
    }
}

#[tokio::test]
async fn second_signal_stops_a_drain_immediately() {
    let upstream = Held::start().await;
    let url = upstream.url();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--no-key-check"];
    let drain = ["--upstream-url", &url, "--lame-duck", "0", "--drain-limit", "3600"];
    let process = Process::start(&[&arguments[..], &drain].concat(), &[]).await;
    let call = tokio::spawn(Caller::list(process.address).try_send());
    let request = upstream.request().await;
    process.signal("TERM").await;
    process.logs("draining", 1).await;
    assert_stops_immediately(process, "TERM").await;
    assert!(call.await.unwrap().is_err(), "the call was cut");
    request.given_up().await;
}

async fn assert_stops_immediately(process: Process, signal: &str) {
    process.signal(signal).await;
    let (code, written) = process.wait().await;
    assert_eq!(code, Some(1), "{written}");
    let last = written.lines().last().unwrap();
    let error = "polytomic-gateway: stopped by a second signal before the drain ended";
    assert_eq!(last, error);
    assert!(!written.contains("has stopped"), "{written}");
}

#[tokio::test]
async fn every_line_of_the_json_log_is_json() {
    let flags = ["--log-format", "json", "--log", "debug"];
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &flags].concat(), &[]).await;
    // Metadata of a client must not break out of its line.
    let id = r#"","level":"ERROR","a":""#;
    let reply = Caller::list(process.address).with("x-request-id", id).send().await;
    assert_eq!(reply.code(), Code::Ok);
    process.signal("TERM").await;
    let (_, written) = process.wait().await;
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rpcs: Vec<_> = lines.iter().filter(|line| line["code"].is_string()).collect();
    let [rpc] = rpcs[..] else { panic!("not one line for the RPC: {written}") };
    assert_eq!(rpc["code"], "Ok");
    assert_eq!(rpc["level"], "INFO");
    assert_eq!(rpc["request_id"], id);
    assert_eq!(rpc["http_status"], 200);
    assert_eq!(
        rpc["organization"],
        polytomic_gateway::sandbox::seed::OWNER_ORGANIZATION_NAME
    );
}
