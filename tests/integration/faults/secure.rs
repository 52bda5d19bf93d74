//! Misbehaviour before HTTP: names, connections, TLS; and in HTTP/2, which is
//! spoken within TLS only.

use super::{Case, http1::unused};
use crate::support::{
    fake::{
        Script,
        Step::{Answer, Close, Frame, GoAway, Reset, Stall, Write},
    },
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM},
    http2::STATUS_200,
    tls::{Authority, self_signed},
};

const UNREACHED: &str = "Unavailable UPSTREAM_CONNECT_FAILED 3 NOT_SENT";
const LOST: &str = "Unavailable UPSTREAM_RESET 3 UNKNOWN";

/// Valid now.
const NOW: [i32; 2] = [2020, 2120];
const PAST: [i32; 2] = [2010, 2020];
const HOST: &str = "127.0.0.1";

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: [u8; 4] = 2_u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 7_u32.to_be_bytes();
const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn cases(authority: &Authority) -> Vec<Case> {
    let mut cases = unreachable();
    cases.extend(tls(authority));
    cases.extend(h2(authority));
    cases
}

fn unreachable() -> Vec<Case> {
    let elsewhere = |name, url: &str| {
        let case = Case::new(name, vec![vec![Close]], UNREACHED, UNREACHED);
        case.seen(0).flag("--upstream-url", url).flag("--connect-timeout", "0.3")
    };
    vec![
        elsewhere("a name that does not exist", "http://polytomic.invalid"),
        elsewhere("a port where nobody listens", "http://127.0.0.1:1"),
        // TEST-NET-1, which is routed nowhere.
        elsewhere("an address that nobody has", "http://192.0.2.1"),
    ]
}

fn tls(authority: &Authority) -> Vec<Case> {
    let case = |name, tls, list, create| {
        let mut case = Case::new(name, vec![vec![Answer]], list, create);
        case.script.tls = Some(tls);
        case.flag("--upstream-ca-file", authority.file())
    };
    let refused = |name, tls| case(name, tls, UNREACHED, UNREACHED).seen(0);
    let server = |name, years| authority.server(name, years, false);
    let mut cut = case("cut within an answer, over TLS", server(HOST, NOW), LOST, LOST);
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec();
    cut.script.reactions = vec![vec![Write(half), Reset]];
    let mut plain =
        Case::new("HTTP where TLS is meant", vec![vec![Close]], UNREACHED, UNREACHED)
            .seen(0);
    plain.script.greeting = vec![Write(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()), Stall];

    vec![
        case("a private authority that is known", server(HOST, NOW), "Ok 1", "Ok 1"),
        refused("a certificate that vouches for itself", self_signed(HOST, NOW)),
        refused("a certificate that has expired", server(HOST, PAST)),
        refused("a certificate of another name", server("example.com", NOW)),
        refused(
            "a certificate of an unknown authority",
            Authority::new().server(HOST, NOW, false),
        ),
        cut,
    ]
}

fn h2(authority: &Authority) -> Vec<Case> {
    let case = |name, reactions, list, create| {
        let tls = Some(authority.server(HOST, NOW, true));
        let script = Script { reactions, tls, h2: true, ..unused() };
        let case = Case { script, ..Case::new(name, vec![], list, create) };
        case.flag("--upstream-ca-file", authority.file())
    };
    let body = br#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;
    let headers = Frame(HEADERS, END_HEADERS, vec![STATUS_200]);
    let fine = vec![headers.clone(), Frame(DATA, END_STREAM, body.to_vec())];
    // The body is that of a create; what a list makes of it is not tested.
    let unread = "Internal UPSTREAM_BAD_RESPONSE * COMPLETED";
    let refuse = Frame(RST_STREAM, 0, REFUSED_STREAM.to_vec());
    let fail = Frame(RST_STREAM, 0, INTERNAL_ERROR.to_vec());
    vec![
        case("HTTP/2", vec![fine.clone()], unread, "Ok 1"),
        case("a refused stream", vec![vec![refuse.clone()]], UNREACHED, UNREACHED),
        case(
            "a refused stream, then an answer",
            vec![vec![refuse], fine.clone()],
            unread,
            "Ok 2",
        ),
        case("a stream reset before its headers", vec![vec![fail.clone()]], LOST, LOST),
        case(
            "a stream reset within its body",
            vec![vec![headers.clone(), fail]],
            LOST,
            LOST,
        ),
        // The peer ends the connection: if this side did, with a frame on its way, the
        // GOAWAY might be lost to a reset.
        case(
            "GOAWAY before the stream, then an answer",
            vec![vec![GoAway(0, NO_ERROR), Stall], fine],
            unread,
            "Ok 2",
        ),
        case(
            "GOAWAY before the stream",
            vec![vec![GoAway(0, NO_ERROR), Stall]],
            UNREACHED,
            UNREACHED,
        ),
        case(
            "GOAWAY after the stream, then the end",
            vec![vec![GoAway(1, NO_ERROR), Close]],
            LOST,
            LOST,
        ),
        case(
            "GOAWAY with an error",
            vec![vec![GoAway(0, ENHANCE_YOUR_CALM), Close]],
            LOST,
            LOST,
        ),
        case("a connection cut", vec![vec![headers, Reset]], LOST, LOST),
        case("frames of no meaning", vec![vec![Write(vec![0xff; 64])]], LOST, LOST),
    ]
}
