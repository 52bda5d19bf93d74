//! Faults of HTTP/2, frame by frame.

use kit::{
    Protocol,
    fake::{
        JSON, Response,
        Step::{
            self, Answer, Close, Data, Frame, GoAway, Head, Reset, Respond, Stall, Write,
        },
    },
    frames::{DATA, END_STREAM, RST_STREAM},
    tls::Authority,
};

use super::{CUT, Case, LOST, UNREADABLE, UNREADABLE_CREATE};

const NOT_PROCESSED: &str = "Unavailable UPSTREAM_NOT_PROCESSED 3 NOT_SENT";

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn cases(authority: &Authority) -> Vec<Case> {
    let mut cases = refused();
    cases.extend(broken_off());
    cases.extend(unreadable());
    let over_tls = |mut case: Case| {
        case.script.tls = Some(authority.server(Protocol::Http2));
        case.over(&[Protocol::Http2]).flag("--upstream-ca-file", authority.file())
    };
    cases.into_iter().map(over_tls).collect()
}

fn lost(name: &'static str, steps: Vec<Step>) -> Case {
    Case::new(name, vec![steps], LOST, LOST)
}

/// A response that breaks off.
fn cut(name: &'static str, steps: Vec<Step>) -> Case {
    Case::new(name, vec![steps], CUT, LOST)
}

fn reset(code: u32) -> Step {
    Frame(RST_STREAM, 0, code.to_be_bytes().to_vec())
}

fn head(status: u16) -> Step {
    Head(Response::new(status, JSON, b""))
}

/// Requests that are not processed, or may not be.
fn refused() -> Vec<Case> {
    let refused =
        |name, steps| Case::new(name, vec![steps], NOT_PROCESSED, NOT_PROCESSED);
    let refused_once =
        |name, steps| Case::new(name, vec![steps, vec![Answer]], "Ok 2", "Ok 2");
    // The gateway ends the connection. If the upstream did, a frame on its way could
    // cause a reset that overtakes the GOAWAY.
    let goaway = || vec![GoAway(0, NO_ERROR), Stall];
    vec![
        refused("a refused stream", vec![reset(REFUSED_STREAM)]),
        refused_once("a refused stream, then a response", vec![reset(REFUSED_STREAM)]),
        refused("GOAWAY before the stream", goaway()),
        refused_once("GOAWAY before the stream, then a response", goaway()),
        lost("GOAWAY after the stream, then the end", vec![GoAway(1, NO_ERROR), Close]),
        lost("GOAWAY with an error", vec![GoAway(0, ENHANCE_YOUR_CALM), Close]),
        lost("a stream reset before its headers", vec![reset(INTERNAL_ERROR)]),
        lost("meaningless frames", vec![Write(vec![0xff; 64])]),
    ]
}

/// Responses that have begun. Then the request was sent, whatever the peer says.
fn broken_off() -> Vec<Case> {
    let part = || Data(br#"{"data":["#.to_vec());
    vec![
        lost(
            "a stream refused after an interim response",
            vec![head(103), reset(REFUSED_STREAM)],
        ),
        lost(
            "GOAWAY before the stream, after an interim response",
            vec![head(103), GoAway(0, NO_ERROR), Stall],
        ),
        cut("a stream refused within its body", vec![head(200), reset(REFUSED_STREAM)]),
        cut("a stream reset within its body", vec![head(200), reset(INTERNAL_ERROR)]),
        cut(
            "a stream reset without an error, within its body",
            vec![head(200), part(), reset(NO_ERROR)],
        ),
        cut(
            "a rejection reset without an error, within its body",
            vec![head(400), part(), reset(NO_ERROR)],
        ),
        cut(
            "GOAWAY before the stream, within its body",
            vec![head(200), part(), GoAway(0, NO_ERROR), Stall],
        ),
        cut("a reset after the headers", vec![head(200), Reset]),
        // A server that needs no more of a request says so (RFC 9113, section 8.1).
        Case::new(
            "a stream reset without an error, after its response",
            vec![vec![Answer, reset(NO_ERROR)]],
            "Ok 1",
            "Ok 1",
        ),
    ]
}

/// Responses that cannot be read.
fn unreadable() -> Vec<Case> {
    // The gateway's own HTTP client resets the stream, not the peer.
    let unreadable =
        |name, steps| Case::new(name, vec![steps], UNREADABLE, UNREADABLE_CREATE);
    let length = |length| Head(Response::new(200, &[("content-length", length)], b""));
    let body = || Frame(DATA, END_STREAM, br#"{"data":[]}"#.to_vec());
    let many = Respond(Response::new(200, &vec![("x", "y"); 10_000], b"{}"));
    let long = Respond(Response::new(200, &[("x", &"y".repeat(1_000_000))], b"{}"));
    vec![
        unreadable("a length that cuts the body", vec![length("4"), body()]),
        unreadable("a length beyond the body", vec![length("99"), body()]),
        unreadable("ten thousand headers", vec![many]),
        // This is an error of the whole connection, whose other streams are fine.
        lost("a header of a megabyte", vec![long]),
    ]
}
