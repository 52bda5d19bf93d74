//! Faults before HTTP: names, connections, TLS.

use kit::{
    HOST, Protocol,
    fake::Step::{Answer, Close, Reset, Stall, Write},
    tls::{Authority, VALID, self_signed},
};

use super::{CUT, Case, LOST, UNREACHED};

const EXPIRED: [i32; 2] = [2010, 2020];

pub(super) fn cases(authority: &Authority) -> Vec<Case> {
    let mut cases = unreachable();
    cases.extend(tls(authority));
    cases
}

fn unreachable() -> Vec<Case> {
    let elsewhere = |name, url: &str| {
        let case = Case::new(name, vec![vec![Close]], UNREACHED, UNREACHED);
        case.seen(0).flag("--upstream-url", url).flag("--connect-timeout", "0.3")
    };
    vec![
        elsewhere("a name that does not exist", "http://polytomic.invalid"),
        elsewhere("a port without a listener", "http://127.0.0.1:1"),
        // TEST-NET-1, which is routed nowhere.
        elsewhere("an unreachable address", "http://192.0.2.1"),
    ]
}

fn tls(authority: &Authority) -> Vec<Case> {
    let case = |name, tls, list, create| {
        let mut case = Case::new(name, vec![vec![Answer]], list, create);
        case.script.tls = Some(tls);
        case.flag("--upstream-ca-file", authority.file())
    };
    let rejected = |name, tls| case(name, tls, UNREACHED, UNREACHED).seen(0);
    let server = |name, years| authority.server_of(name, years, Protocol::Http1);
    let mut cut =
        case("reset within a response, over TLS", server(HOST, VALID), CUT, LOST);
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec();
    cut.script.reactions = vec![vec![Write(half), Reset]];
    let mut plain =
        Case::new("HTTP instead of TLS", vec![vec![Close]], UNREACHED, UNREACHED).seen(0);
    plain.script.greeting = vec![Write(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()), Stall];

    vec![
        case(
            "a private authority that the gateway trusts",
            server(HOST, VALID),
            "Ok 1",
            "Ok 1",
        ),
        rejected("a self-signed certificate", self_signed()),
        rejected("an expired certificate", server(HOST, EXPIRED)),
        rejected("a certificate of another name", server("example.com", VALID)),
        rejected(
            "a certificate of an unknown authority",
            Authority::new().server(Protocol::Http1),
        ),
        cut,
    ]
}
