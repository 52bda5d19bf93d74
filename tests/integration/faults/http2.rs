//! Faults of HTTP/2, frame by frame.

use kit::{
    Protocol,
    fake::{
        JSON, Response,
        Step::{Answer, Close, Frame, GoAway, Head, Reset, Respond, Stall, Write},
    },
    frames::{DATA, END_STREAM, RST_STREAM},
    tls::Authority,
};

use super::{CUT, Case, LOST, UNREACHED, UNREADABLE, UNREADABLE_CREATE};

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
    let fail = Frame(RST_STREAM, 0, INTERNAL_ERROR.to_vec());
    vec![
        case("a refused stream", vec![vec![refuse.clone()]], UNREACHED, UNREACHED),
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
            CUT,
            LOST,
        ),
        // hyper takes NO_ERROR for the end of the body.
        unreadable(
            "GOAWAY before the stream, within its body",
            vec![head.clone(), GoAway(0, NO_ERROR), Stall],
        ),
        case("a stream reset before its headers", vec![vec![fail.clone()]], LOST, LOST),
        case("a stream reset within its body", vec![vec![head.clone(), fail]], CUT, LOST),
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
        case("a reset after the headers", vec![vec![head, Reset]], CUT, LOST),
        case("meaningless frames", vec![vec![Write(vec![0xff; 64])]], LOST, LOST),
        // The gateway's own HTTP client resets the stream, not the peer.
        unreadable("a length that cuts the body", vec![length("4"), body.clone()]),
        unreadable("a length beyond the body", vec![length("99"), body]),
        unreadable("ten thousand headers", vec![many]),
        // This is an error of the whole connection, whose other streams are fine.
        case("a header of a megabyte", vec![vec![long]], LOST, LOST),
    ]
}
