//! Faults of HTTP/1.1, to the byte.

use std::time::Duration;

use kit::fake::Step::{self, Answer, Close, Drip, Flood, Reset, Stall, Write};

use super::{
    CUT, Case, LOST, SLOW, SLOW_BODY, SLOW_CREATE, STARVED, TOO_LARGE, TOO_LARGE_CREATE,
    UNREADABLE, UNREADABLE_CREATE,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

fn write(text: impl AsRef<[u8]>) -> Step {
    Write(text.as_ref().to_vec())
}

/// Writes a head, and what follows it.
fn head(rest: &str) -> Step {
    write(format!("{HEAD}{rest}"))
}

fn flood(text: &str) -> Step {
    Flood(text.repeat(65_536 / text.len()).into_bytes())
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = connections();
    cases.extend(silences());
    cases.extend(lengths());
    cases.extend(heads());
    cases.extend(floods());
    cases
}

/// Connections that end.
fn connections() -> Vec<Case> {
    let lost = |name, steps| Case::new(name, vec![steps], LOST, LOST);
    let cut = |name, steps| Case::new(name, vec![steps], CUT, LOST);
    let mut at_once = Case::new(
        "reset before the request is read",
        vec![],
        "Unavailable * 3 *",
        "Unavailable * 3 *",
    )
    .seen(0);
    at_once.script.greeting = vec![Reset];
    let mut unasked =
        Case::new("a response to no request, then the end", vec![], "* * 3 *", "* * 3 *")
            .seen(0);
    unasked.script.greeting = vec![write("HTTP/1.1 408 Timeout\r\n\r\n"), Close];
    vec![
        at_once,
        unasked,
        lost("reset within the headers", vec![write("HTTP/1.1 200 O"), Reset]),
        lost("closed within the headers", vec![write(HEAD), Close]),
        cut(
            "closed within a chunk",
            vec![head(CHUNKED), write("ff\r\n{\"data\":"), Close],
        ),
        cut("closed between chunks", vec![head(CHUNKED), write("2\r\n{}\r\n"), Close]),
    ]
}

/// Responses that do not come, or not whole.
fn silences() -> Vec<Case> {
    let slow = |name, steps| Case::new(name, vec![steps], SLOW, SLOW_CREATE).hurried();
    let slow_body = |name, steps| Case::new(name, vec![steps], SLOW_BODY, SLOW).hurried();
    let body = format!("{HEAD}content-length: 11\r\n\r\n");
    let pause = Duration::from_millis(100);
    vec![
        slow("no end of the headers", vec![write(HEAD), Stall]),
        slow_body(
            "no end of the chunks",
            vec![head(CHUNKED), write("2\r\n{}\r\n"), Stall],
        ),
        slow("headers byte by byte", vec![Drip(body.clone().into_bytes(), pause)]),
        slow(
            "interim responses without end, slowly",
            vec![Drip(b"HTTP/1.1 102 Wait\r\n\r\n".repeat(99), pause)],
        ),
    ]
}

/// Bodies whose length or coding is wrong.
fn lengths() -> Vec<Case> {
    let unreadable =
        |name, step| Case::new(name, vec![vec![step]], UNREADABLE, UNREADABLE_CREATE);
    vec![
        unreadable(
            "a length that cuts the body",
            head("content-length: 4\r\n\r\n{\"data\":[]}"),
        ),
        unreadable("a negative length", head("content-length: -1\r\n\r\n{}")),
        unreadable("a length in words", head("content-length: ten\r\n\r\n{}")),
        unreadable(
            "two lengths",
            head("content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        ),
        unreadable(
            "a length above all integers",
            head("content-length: 99999999999999999999\r\n\r\n{}"),
        ),
        unreadable("a chunk size that is none", head(&format!("{CHUNKED}zz\r\n{{}}"))),
        unreadable(
            "a chunk above all integers",
            head(&format!("{CHUNKED}fffffffffffffffff\r\n{{}}")),
        ),
        unreadable(
            "a chunk longer than it says",
            head(&format!("{CHUNKED}2\r\n{{}}{{}}\r\n0\r\n\r\n")),
        ),
        Case::new(
            "another coding than chunked",
            vec![vec![head("transfer-encoding: gzip\r\n\r\n\x1f\x0b"), Close]],
            UNREADABLE,
            UNREADABLE_CREATE,
        ),
        Case::new(
            "no content, with a body",
            vec![vec![write("HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\n{}")]],
            "Ok 1",
            "Unknown OUTCOME_UNKNOWN 1 UNKNOWN",
        ),
    ]
}

/// Heads that are unusual or wrong.
fn heads() -> Vec<Case> {
    let unreadable = |name, text: &str| {
        Case::new(name, vec![vec![write(text), Close]], UNREADABLE, UNREADABLE_CREATE)
    };
    let fine = |name, text: &str| {
        // The body is that of a create; a list cannot be read from it.
        let body = r#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;
        let steps = vec![write(text), write(body), Close];
        Case::new(name, vec![steps], UNREADABLE, "Ok 1")
    };
    let many = "x: y\r\n".repeat(10_000);
    let long = format!("{HEAD}x: {}\r\n\r\n", "y".repeat(1_000_000));
    vec![
        unreadable("a page without a head (HTTP/0.9)", "<html>Welcome</html>\r\n"),
        unreadable("meaningless bytes", "\0\u{1}\u{2}\u{7f}\r\n\r\n"),
        unreadable("HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        unreadable("an unknown version", "HTTP/9.9 200 OK\r\n\r\n"),
        unreadable("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        unreadable("a status in words", "HTTP/1.1 two OK\r\n\r\n"),
        unreadable("a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
        unreadable("a header with a NUL", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"),
        unreadable("ten thousand headers", &format!("{HEAD}{many}\r\n")),
        unreadable("a header of a megabyte", &long),
        fine(
            "HTTP/1.0, ended by the end",
            "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n",
        ),
        fine("bare line feeds", "HTTP/1.1 200 OK\ncontent-type: application/json\n\n"),
        fine(
            "three early hints first",
            &format!("{}{HEAD}\r\n", "HTTP/1.1 103 Early\r\nlink: x\r\n\r\n".repeat(3)),
        ),
        Case::new(
            "a switch of protocols",
            vec![vec![
                write("HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
                Stall,
            ]],
            "Internal UPSTREAM_PROTOCOL_ERROR 1 REJECTED",
            "Internal UPSTREAM_PROTOCOL_ERROR 1 UNKNOWN",
        ),
    ]
}

/// Parts of a response that never end.
fn floods() -> Vec<Case> {
    const LIMIT: u64 = 1_000_000;
    let too_large = |name, steps| {
        Case::new(name, vec![steps], TOO_LARGE, TOO_LARGE_CREATE).most_bytes(2 * LIMIT)
    };
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    vec![
        too_large("chunks without end", vec![head(CHUNKED), flood(&chunk)]),
        Case::new(
            "headers without end",
            vec![vec![write(HEAD), flood("x: y\r\n")]],
            UNREADABLE,
            UNREADABLE_CREATE,
        )
        .most_bytes(LIMIT),
        Case::new(
            "a header without end",
            vec![vec![write(HEAD), write("x: "), flood("y")]],
            UNREADABLE,
            UNREADABLE_CREATE,
        )
        .most_bytes(LIMIT),
        Case::new(
            "a chunk extension without end",
            vec![vec![head(CHUNKED), write("2;x="), flood("y")]],
            UNREADABLE,
            UNREADABLE_CREATE,
        )
        .most_bytes(LIMIT),
        Case::new(
            "trailers without end",
            vec![vec![head(CHUNKED), write("2\r\n{}\r\n0\r\n"), flood("x: y\r\n")]],
            UNREADABLE,
            UNREADABLE_CREATE,
        )
        .most_bytes(LIMIT),
        Case::new(
            "a thousand empty lines first",
            vec![vec![write("\r\n".repeat(1000)), Answer]],
            "Ok 1",
            "Ok 1",
        ),
        Case::new(
            "interim responses without end",
            // Large enough that an unoptimised gateway keeps up.
            vec![vec![flood(&format!(
                "HTTP/1.1 103 Go\r\nlink: {}\r\n\r\n",
                "x".repeat(8192)
            ))]],
            STARVED,
            STARVED,
        )
        .hurried(),
    ]
}
