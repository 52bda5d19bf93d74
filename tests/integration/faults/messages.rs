//! Responses that end early, stall, or have the wrong body: what every protocol can
//! express.

use std::time::Duration;

use kit::fake::{
    Response,
    Step::{
        self, Answer, Close, Data, Drip, Flood, HalfClose, Head, Reset, Respond, Stall,
    },
};

use super::{
    BOTH, CUT, Case, LOST, SLOW, SLOW_BODY, SLOW_CREATE, TOO_LARGE, TOO_LARGE_CREATE,
    UNREADABLE, UNREADABLE_CREATE,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = connections();
    cases.extend(silences());
    cases.extend(bodies());
    cases.into_iter().map(|case| case.over(&BOTH)).collect()
}

/// Writes the head of a success that announces a body of `length` bytes.
fn head(length: &str) -> Step {
    let headers = [("content-type", "application/json"), ("content-length", length)];
    Head(Response::new(200, &headers, b""))
}

fn data(text: &str) -> Step {
    Data(text.into())
}

/// Connections that end.
fn connections() -> Vec<Case> {
    let lost = |name, steps| Case::new(name, vec![steps], LOST, LOST);
    let cut = |name, steps| Case::new(name, vec![steps], CUT, LOST);
    vec![
        lost("reset before the headers", vec![Reset]),
        cut("reset after the headers", vec![head("99"), Reset]),
        cut("reset within the body", vec![head("99"), data("{\"data\":"), Reset]),
        lost("closed before the headers", vec![Close]),
        cut("closed within the body", vec![head("99"), data("{\"data\":"), Close]),
        lost("closed for writing only", vec![HalfClose, Stall]),
        Case::new(
            "lost, then a response",
            vec![vec![Reset], vec![Answer]],
            "Ok 2",
            "Ok 2",
        ),
        Case::new(
            "lost twice, then a response",
            vec![vec![Close], vec![Reset], vec![Answer]],
            "Ok 3",
            "Ok 3",
        ),
        Case::new(
            "lost, with one attempt",
            vec![vec![Reset]],
            "Unavailable UPSTREAM_RESET 1 UNKNOWN",
            "Unavailable UPSTREAM_RESET 1 UNKNOWN",
        )
        .flag("--attempts", "1"),
    ]
}

/// Responses that do not come, or not whole.
fn silences() -> Vec<Case> {
    let slow = |name, steps| Case::new(name, vec![steps], SLOW_BODY, SLOW).hurried();
    let sent = |name, steps| Case::new(name, vec![steps], SLOW, SLOW_CREATE).hurried();
    let pause = Duration::from_millis(100);
    let late = vec![vec![Stall], vec![Answer]];
    vec![
        sent("no first byte", vec![Stall]),
        slow("no body", vec![head("11"), Stall]),
        slow("no end of the body", vec![head("11"), data("{\"da"), Stall]),
        // Not hurried: on a busy machine, a byte may take longer than the read timeout.
        Case::new(
            "a body byte by byte",
            vec![vec![head("99"), Drip(b" ".repeat(99), pause)]],
            SLOW_BODY,
            SLOW_CREATE,
        )
        .flag("--timeout", "6")
        .flag("--attempt-timeout", "1.5"),
        Case::new("silent, then a response", late, "Ok 2", SLOW_CREATE).hurried(),
    ]
}

/// Bodies that cannot be read.
fn bodies() -> Vec<Case> {
    const LIMIT: u64 = 1_000_000;
    let unreadable = |name, headers, body: &[u8]| {
        let response = Response::new(200, headers, body);
        Case::new(name, vec![vec![Respond(response)]], UNREADABLE, UNREADABLE_CREATE)
    };
    let too_large = |name, head| {
        let steps = vec![head, Flood(b" ".repeat(65_536))];
        Case::new(name, vec![steps], TOO_LARGE, TOO_LARGE_CREATE).most_bytes(2 * LIMIT)
    };
    let json = [("content-type", "application/json")];
    vec![
        unreadable(
            "a bomb, compressed",
            &[("content-encoding", "gzip")],
            b"\x1f\x0b\x08\0",
        ),
        unreadable(
            "a deflate that is none",
            &[("content-encoding", "deflate")],
            b"{\"data\":[]}",
        ),
        unreadable("a success without a body", &[], b""),
        too_large("a body without end", Head(Response::new(200, &json, b""))),
        too_large("a gigabyte, announced", head("1073741824")),
    ]
}
