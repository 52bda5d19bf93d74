//! Faults of HTTP/2, frame by frame.

use kit::{
    Protocol,
    fake::{
        JSON, Response,
        Step::{Answer, Close, Data, Frame, GoAway, Head, Reset, Respond, Stall, Write},
    },
    frames::{DATA, END_STREAM, RST_STREAM},
    tls::Authority,
};

use super::{Case, LOST, UNREADABLE, UNREADABLE_CREATE};

const NOT_PROCESSED: &str = "Unavailable UPSTREAM_NOT_PROCESSED 3 NOT_SENT";

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: [u8; 4] = 2_u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 7_u32.to_be_bytes();
const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn cases(authority: &Authority) -> Vec<Case> {
    let case = |name, reactions, list, create| {
        let mut case = Case::new(name, reactions, list, create).over(&[Protocol::Http2]);
        case.script.tls = Some(authority.server(Protocol::Http2));
        case.flag("--upstream-ca-file", authority.file())
    };
    let unreadable = |name, steps| case(name, vec![steps], UNREADABLE, UNREADABLE_CREATE);
    let head = Head(Response::new(200, JSON, b""));
    let length = |length| Head(Response::new(200, &[("content-length", length)], b""));
    let body = Frame(DATA, END_STREAM, br#"{"data":[]}"#.to_vec());
    let many = Respond(Response::new(200, &vec![("x", "y"); 10_000], b"{}"));
    let long = Respond(Response::new(200, &[("x", &"y".repeat(1_000_000))], b"{}"));
    let refuse = Frame(RST_STREAM, 0, REFUSED_STREAM.to_vec());
    let part = Data(br#"{"data":["#.to_vec());
    let stop = Frame(RST_STREAM, 0, NO_ERROR.to_be_bytes().to_vec());
    let fail = Frame(RST_STREAM, 0, INTERNAL_ERROR.to_vec());
    vec![
        case("a refused stream", vec![vec![refuse.clone()]], NOT_PROCESSED, NOT_PROCESSED),
        case(
            "a refused stream, then a response",
            vec![vec![refuse.clone()], vec![Answer]],
            "Ok 2",
            "Ok 2",
        ),
        // Once there are headers, the request was sent, whatever the peer says.
        case(
            "a stream refused within its body",
            vec![vec![head.clone(), refuse.clone()]],
            LOST,
            LOST,
        ),
        case(
            "GOAWAY before the stream, within its body",
            vec![vec![head.clone(), part.clone(), GoAway(0, NO_ERROR), Stall]],
            LOST,
            LOST,
        ),
        case(
            "a stream reset without an error, within its body",
            vec![vec![head.clone(), part.clone(), stop.clone()]],
            LOST,
            LOST,
        ),
        case(
            "a rejection reset without an error, within its body",
            vec![vec![Head(Response::new(400, JSON, b"")), part, stop.clone()]],
            LOST,
            LOST,
        ),
        // A server that needs no more of a request says so (RFC 9113, section 8.1).
        case(
            "a stream reset without an error, after its response",
            vec![vec![Answer, stop]],
            "Ok 1",
            "Ok 1",
        ),
        case("a stream reset before its headers", vec![vec![fail.clone()]], LOST, LOST),
        case(
            "a stream reset within its body",
            vec![vec![head.clone(), fail]],
            LOST,
            LOST,
        ),
        // The gateway ends the connection. If the upstream did, a frame on its way could
        // cause a reset that overtakes the GOAWAY.
        case(
            "GOAWAY before the stream, then a response",
            vec![vec![GoAway(0, NO_ERROR), Stall], vec![Answer]],
            "Ok 2",
            "Ok 2",
        ),
        case(
            "GOAWAY before the stream",
            vec![vec![GoAway(0, NO_ERROR), Stall]],
            NOT_PROCESSED,
            NOT_PROCESSED,
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
        case("a reset after the headers", vec![vec![head, Reset]], LOST, LOST),
        case("meaningless frames", vec![vec![Write(vec![0xff; 64])]], LOST, LOST),
        // The gateway's own HTTP client resets the stream, not the peer.
        unreadable("a length that cuts the body", vec![length("4"), body.clone()]),
        unreadable("a length beyond the body", vec![length("99"), body]),
        unreadable("ten thousand headers", vec![many]),
        // This is an error of the whole connection, whose other streams are fine.
        case("a header of a megabyte", vec![vec![long]], LOST, LOST),
    ]
}
