//! The program as an operator meets it: flags, exit codes, signals.

use std::{ffi::OsStr, io::Write, os::unix::ffi::OsStrExt};

use tempfile::NamedTempFile;
use tokio::process::Command;
use tonic::Code;

use crate::support::{
    Caller,
    held::Held,
    process::{Process, command, run, run_command},
};

/// Runs the program with something that cannot be meant and returns what it
/// says.
async fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    refusal_of(command(arguments, variables)).await
}

async fn refusal_of(command: Command) -> String {
    let called = format!("{command:?}");
    let output = run_command(command).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{called}: {told}");
    assert!(output.stdout.is_empty(), "{called}");
    assert_eq!(told.lines().count(), 1, "{called}: {told}");
    assert!(told.starts_with("polytomic-gateway: "), "{told}");
    told
}

/// Arguments, variables, and what must be told of them.
type Mistake<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn a_mistake_is_one_line_and_exit_code_2() {
    let own = |seconds: &str| format!("ListPartnerSharedConnections={seconds}");
    let static_mode = ["serve", "--listen", "127.0.0.1:0", "--auth-mode", "static"];
    let cases: [Mistake<'_>; 26] = [
        (&["nonsense"], &[], "unrecognized subcommand 'nonsense'"),
        (&["serve", "--nonsense"], &[], "unexpected argument '--nonsense'"),
        (&["serve", "--listen", "here"], &[], "--listen"),
        (&["serve", "--listen", "127.0.0.1:70000"], &[], "--listen"),
        (&["serve"], &[("POLYTOMIC_GATEWAY_LISTEN", "here")], "--listen"),
        (&["serve", "--timeout", "soon"], &[], "a number of seconds"),
        (&["serve", "--timeout", "0"], &[], "must be more than 0"),
        (&["serve", "--rpc-timeout", "5"], &[], "with = between"),
        (&["serve", "--rpc-timeout", &own("soon")], &[], "a number of seconds"),
        (&["serve", "--rpc-timeout", &own("0")], &[], "must be more than 0"),
        (
            &["serve", "--rpc-timeout", "Nope=5"],
            &[],
            "no RPC \"Nope\", but CreatePartnerSharedConnection, ListPartnerSharedConnections",
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
        (&["serve", "--answer-limit", "32MiB"], &[], "a number of bytes"),
        (&["serve", "--answer-limit", "1000000000"], &[], "536870912 at most"),
        (&["serve", "--answer-memory", "1000"], &[], "room for answers of"),
        (&["serve", "--api-version", "latest"], &[], "2025-09-18"),
        (&["serve", "--upstream-url", "ftp://x"], &[], "use https"),
        (&["serve", "--upstream-url", "http://polytomic.example"], &[], "unencrypted"),
        (
            &["serve", "--upstream-url", "https://u:secret@x"],
            &[],
            "user name or password",
        ),
        (&["serve", "--sandbox", "--upstream-url", "https://x"], &[], "leave one out"),
        (&["serve", "--log", "a=b=c"], &[], "log filter"),
        (&["serve", "--partner-key-file", "key"], &[], "--auth-mode static"),
        (&static_mode, &[], "needs a partner key"),
        (
            &["serve", "--listen", "0.0.0.0:0", "--auth-mode", "static"],
            &[("POLYTOMIC_PARTNER_KEY", "secret-key")],
            "listen on loopback",
        ),
    ];
    for (arguments, variables, expected) in cases {
        let told = refusal(arguments, variables).await;
        assert!(told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_a_mistake() {
    let mut junk = NamedTempFile::new().unwrap();
    // Three bytes, which are no certificate.
    junk.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let junk = junk.path().to_str().unwrap();
    for (file, expected) in
        [("/nowhere", "cannot be read"), ("/dev/null", "cannot be used"), (junk, "used")]
    {
        let told = refusal(&["serve", "--upstream-ca-file", file], &[]).await;
        assert!(told.contains(&format!("--upstream-ca-file {file} ")), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn a_partner_key_that_is_no_text_is_a_mistake_and_not_shown() {
    for mode in ["static", "passthrough"] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--auth-mode", mode];
        let mut command = command(&arguments, &[]);
        command.env("POLYTOMIC_PARTNER_KEY", OsStr::from_bytes(b"zyxw-\xffvuts"));
        let told = refusal_of(command).await;
        assert!(told.contains("POLYTOMIC_PARTNER_KEY is not"), "{told}");
        assert!(!told.contains("zyxw") && !told.contains("vuts"), "{told}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in [
        &["serve", "--sandbox", "--listen", &address][..],
        &["sandbox", "--listen", &address],
    ] {
        let output = run(command, &[("POLYTOMIC_GATEWAY_LOG", "error")]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
    }
}

#[tokio::test]
async fn help_and_version_are_no_mistakes() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["help", "sandbox"], &["--version"]]
    {
        let output = run(arguments, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn the_demo_lists_shares_and_lists_again() {
    let output = run(&["demo"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("OK, 2 shared copies"), "{shown}");
    assert!(shown.contains("OK, 3 shared copies"), "{shown}");
    assert!(shown.contains("grpcurl -plaintext"), "{shown}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn a_signal_stops_it_cleanly() {
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
async fn a_second_signal_ends_a_lame_duck_at_once() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "TERM")] {
        let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
        let lame_duck = ["--lame-duck", "3600"];
        let arguments = [&arguments[..], &lame_duck].concat();
        let process = Process::start(&arguments, &[]).await;
        process.signal(first).await;
        process.logs("lame duck", 1).await;
        assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
        assert_ends_at_once(process, second).await;
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let upstream = Held::start().await;
    let url = upstream.url();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--no-key-check"];
    let drain = ["--upstream-url", &url, "--lame-duck", "0", "--drain-limit", "3600"];
    let process = Process::start(&[&arguments[..], &drain].concat(), &[]).await;
    let call = tokio::spawn(Caller::list(process.address).try_send());
    let request = upstream.request().await;
    process.signal("TERM").await;
    process.logs("draining", 1).await;
    assert_ends_at_once(process, "TERM").await;
    assert!(call.await.unwrap().is_err(), "the call was cut");
    request.given_up().await;
}

async fn assert_ends_at_once(process: Process, signal: &str) {
    process.signal(signal).await;
    let (code, written) = process.wait().await;
    assert_eq!(code, Some(1), "{written}");
    let last = written.lines().last().unwrap();
    let told = "polytomic-gateway: a second signal came; nothing was waited for";
    assert_eq!(last, told);
    assert!(!written.contains("has stopped"), "{written}");
}

#[tokio::test]
async fn every_line_of_the_json_log_is_json() {
    let flags = ["--log-format", "json", "--log", "debug"];
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0"];
    let process = Process::start(&[&arguments[..], &flags].concat(), &[]).await;
    // What a caller sends must not break out of its line.
    let id = r#"","level":"ERROR"}"#;
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
