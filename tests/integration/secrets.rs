//! No credential is written: the tests search all output for a canary, at log level
//! trace and with many failures.

use std::fmt::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kit::{
    Caller, CredentialFiles, Fake, Gateway,
    caller::{ID, KEY, Reply},
    fake::Response,
    over_both,
    process::Process,
};
use polytomic_gateway::sandbox::seed;
use tonic::Code;

use crate::admin::get;

/// The key that must never be found.
const CANARY: &str = "canary-7d1f9a52-key";

/// The arguments of a gateway that logs all there is to log.
const ON_SANDBOX: [&str; 8] = [
    "serve",
    "--sandbox",
    "--listen",
    "127.0.0.1:0",
    "--log",
    "trace",
    "--admin-listen",
    "127.0.0.1:0",
];

/// Fails if the text contains the canary or a key of the sandbox.
fn assert_clean(written: &str) {
    for secret in [CANARY, KEY, seed::USER_KEY, "Y2FuYXJ5LTdkMWY5YTUy"] {
        let found = written.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} was written");
    }
}

fn show(reply: &Reply) -> String {
    let mut shown = String::new();
    write!(shown, "{reply:?} {:?} {:?}", reply.grpc(), reply.details()).unwrap();
    shown
}

/// Returns all that operators can read at an admin listener.
async fn pages(process: &Process) -> String {
    let mut pages = String::new();
    // Each with a text that shows that it is the page.
    for (path, part) in [
        ("/", "<h1>polytomic-gateway</h1>"),
        ("/metrics", "grpc_server_handled_total{"),
        ("/configz", "auth-mode"),
        ("/readyz", "ok"),
        ("/loglevel", "trace"),
    ] {
        let (status, page) = get(process.admin(), path).await;
        assert_eq!(status, 200, "{path}");
        assert!(page.contains(part), "{path} without {part}: {page}");
        pages.push_str(&page);
    }
    pages
}

fn bearer(caller: Caller, key: &str) -> Caller {
    caller.without("authorization").with("authorization", &format!("Bearer {key}"))
}

#[tokio::test]
async fn key_of_a_client_is_never_written() {
    let arguments = [&ON_SANDBOX[..], &["--timeout", "1"]].concat();
    let process = Process::start(&arguments, &[]).await;
    let mut replies = String::new();
    for key in
        [KEY, seed::USER_KEY, CANARY, &format!("{CANARY} {CANARY}"), &CANARY.repeat(450)]
    {
        for caller in [Caller::list, Caller::create] {
            let reply = bearer(caller(process.address), key).send().await;
            replies.push_str(&show(&reply));
        }
    }
    for connection in
        [seed::RESET, seed::HALF_ANSWERED, seed::NEVER_ANSWERED, seed::HTML_PAGE]
    {
        let message = polytomic_gateway::proto::ListPartnerSharedConnectionsRequest {
            org_id: ID.to_owned(),
            connection_id: connection.to_owned(),
        };
        let caller =
            Caller::new(process.address, "ListPartnerSharedConnections", &message);
        let reply = caller.send().await;
        assert_ne!(reply.code(), Code::Ok);
        replies.push_str(&show(&reply));
    }
    let twice = Caller::list(process.address).with("authorization", CANARY).send().await;
    replies.push_str(&show(&twice));
    replies.push_str(&pages(&process).await);

    process.signal("TERM").await;
    let (code, written) = process.wait().await;
    assert_eq!(code, Some(0));
    assert!(written.contains("TRACE"), "the log level is not trace");
    assert_clean(&written);
    assert_clean(&replies);
}

#[tokio::test]
async fn keys_of_the_gateway_are_never_written() {
    let files = CredentialFiles::new(CANARY, "another-canary-7d1f9a52-key");
    let arguments = [&ON_SANDBOX[..], &files.flags()].concat();
    let process = Process::start(&arguments, &[]).await;
    let right =
        bearer(Caller::list(process.address), "another-canary-7d1f9a52-key").send().await;
    assert_eq!(right.code(), Code::Unauthenticated, "the sandbox does not know the key");
    assert_eq!(right.reason(), "GATEWAY_CREDENTIALS_REJECTED");
    let wrong = bearer(Caller::list(process.address), CANARY).send().await;
    assert_eq!(wrong.reason(), "CALLER_TOKEN_REJECTED");
    files.put_key(&format!("{CANARY}\n{CANARY}"));
    process.signal("HUP").await;
    let again =
        bearer(Caller::list(process.address), "another-canary-7d1f9a52-key").send().await;
    assert_clean(&pages(&process).await);
    process.signal("TERM").await;
    let (_, written) = process.wait().await;
    assert_clean(&written);
    assert_clean(&[right, wrong, again].iter().map(show).collect::<String>());
}

#[tokio::test]
async fn key_in_the_environment_is_never_written() {
    let arguments = [&ON_SANDBOX[..], &["--auth-mode", "static"]].concat();
    let process = Process::start(&arguments, &[("POLYTOMIC_PARTNER_KEY", CANARY)]).await;
    let reply = Caller::list(process.address).send().await;
    assert_eq!(reply.reason(), "GATEWAY_CREDENTIALS_REJECTED");
    assert_clean(&pages(&process).await);
    assert_clean(&show(&reply));
    process.signal("TERM").await;
    let (_, written) = process.wait().await;
    assert_clean(&written);
}

/// The ways in which an error may repeat a text.
fn echoes(text: &str) -> Vec<String> {
    let each =
        |escape: &dyn Fn(u8) -> String| -> String { text.bytes().map(escape).collect() };
    let base64 = |text: &str| BASE64.encode(text);
    vec![
        text.to_owned(),
        text.to_uppercase(),
        each(&|byte| format!("%{byte:02X}")),
        each(&|byte| format!("%25{byte:02x}")),
        // As JSON has it, and as JSON within JSON.
        each(&|byte| format!("\\u{byte:04x}")),
        each(&|byte| format!("\\\\u{byte:04x}")),
        each(&|byte| format!("&#{byte};")),
        each(&|byte| format!("{byte:02x}")),
        base64(text),
        base64(&format!("Bearer {text}")),
        base64(&format!("x:{text}")),
        format!("{}...", &text[..text.len() / 2 + 2]),
        format!("...{}", &text[text.len() / 2 - 2..]),
        text.chars().flat_map(|c| [c, '\u{200b}']).collect(),
        // An identifier loses what stands between.
        text.chars().flat_map(|c| [c, ' ']).collect(),
        text.chars().flat_map(|c| [c, '\u{301}']).collect(),
        each(&|byte| format!("{byte:02x}:")),
    ]
}

#[tokio::test]
async fn key_in_an_error_of_polytomic_is_removed_in_any_encoding() {
    over_both(async |protocol| {
        for (status, echo) in [403, 422]
            .into_iter()
            .flat_map(|status| echoes(CANARY).into_iter().map(move |echo| (status, echo)))
        {
            let body = format!(
                r#"{{"message":"the key {echo} may not","key":"k{echo}","metadata":{{
                    "reason":"{echo}","used_by":[{{"name":"{echo}"}}],
                    "errors":{{"f.{echo}":"is {echo}"}}}}}}"#
            );
            let id = if echo.is_ascii() { &*echo } else { "none" };
            let response =
                Response::new(status, &[("x-request-id", id)], body.as_bytes());
            let fake = Fake::responding(protocol, [response]).await;
            let gateway = Gateway::on(&fake).await;
            let reply = bearer(Caller::create(gateway.address), CANARY).send().await;
            assert!(reply.message().contains("may not"), "{echo}: {}", reply.message());
            let shown = show(&reply);
            assert_clean(&shown);
            // No half of it, nor what its escapes leave of it.
            let shown = shown.to_lowercase();
            for part in
                ["canary-7", "7d1f9a52", "63616e61", "%63%61", "u0063", "y2fuyxj5"]
            {
                assert!(!shown.contains(part), "{part} of {echo}: {shown}");
            }
        }
    })
    .await;
}
