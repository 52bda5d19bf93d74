//! Misbehaviour in the words of HTTP/1, and below them.

use std::time::Duration;

use super::Case;
use crate::support::fake::{
    Script,
    Step::{self, Answer, Close, Drip, Flood, HalfClose, Reset, Stall, Write},
};

const LOST: &str = "Unavailable UPSTREAM_RESET 3 UNKNOWN";
const SLOW: &str = "DeadlineExceeded UPSTREAM_TIMEOUT 3 UNKNOWN";
/// As slow, with fewer attempts on a machine that is busy reading.
const STARVED: &str = "DeadlineExceeded UPSTREAM_TIMEOUT * UNKNOWN";
const UNREADABLE: &str = "Internal UPSTREAM_BAD_RESPONSE 1 COMPLETED";
/// A create is asked for once more, for the sake of its record.
const UNREADABLE_CREATE: &str = "Unknown OUTCOME_UNKNOWN 2 UNKNOWN";
const TOO_LARGE: &str = "ResourceExhausted UPSTREAM_RESPONSE_TOO_LARGE 1 COMPLETED";
const TOO_LARGE_CREATE: &str = "ResourceExhausted UPSTREAM_RESPONSE_TOO_LARGE 1 UNKNOWN";

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
    let mut at_once = Case::new(
        "reset before the request is read",
        vec![],
        "Unavailable * 3 *",
        "Unavailable * 3 *",
    )
    .seen(0);
    at_once.script.greeting = vec![Reset];
    let mut unasked =
        Case::new("an answer to no request, then the end", vec![], "* * 3 *", "* * 3 *")
            .seen(0);
    unasked.script.greeting = vec![write("HTTP/1.1 408 Timeout\r\n\r\n"), Close];
    vec![
        at_once,
        unasked,
        lost("reset before the headers", vec![Reset]),
        lost("reset within the headers", vec![write("HTTP/1.1 200 O"), Reset]),
        lost("reset after the headers", vec![head("content-length: 99\r\n\r\n"), Reset]),
        lost(
            "reset within the body",
            vec![head("content-length: 99\r\n\r\n{\"data\":"), Reset],
        ),
        lost("closed before the headers", vec![Close]),
        lost("closed within the headers", vec![write(HEAD), Close]),
        lost(
            "closed within the body",
            vec![head("content-length: 99\r\n\r\n{\"data\":"), Close],
        ),
        lost(
            "closed within a chunk",
            vec![head(CHUNKED), write("ff\r\n{\"data\":"), Close],
        ),
        lost("closed between chunks", vec![head(CHUNKED), write("2\r\n{}\r\n"), Close]),
        lost("closed for writing only", vec![HalfClose, Stall]),
        Case::new("lost, then answered", vec![vec![Reset], vec![Answer]], "Ok 2", "Ok 2"),
        Case::new(
            "lost twice, then answered",
            vec![vec![Close], vec![Reset], vec![Answer]],
            "Ok 3",
            "Ok 3",
        ),
        Case::new(
            "lost, once allowed",
            vec![vec![Reset]],
            "Unavailable UPSTREAM_RESET 1 UNKNOWN",
            "Unavailable UPSTREAM_RESET 1 UNKNOWN",
        )
        .flag("--attempts", "1"),
    ]
}

/// Answers that do not come, or not whole.
fn silences() -> Vec<Case> {
    let slow = |name, steps| Case::new(name, vec![steps], SLOW, SLOW).hurried();
    let body = format!("{HEAD}content-length: 11\r\n\r\n");
    let pause = Duration::from_millis(100);
    vec![
        slow("no first byte", vec![Stall]),
        slow("no end of the headers", vec![write(HEAD), Stall]),
        slow("no body", vec![head("content-length: 11\r\n\r\n"), Stall]),
        slow("no end of the body", vec![write(&body), write("{\"da"), Stall]),
        slow("no end of the chunks", vec![head(CHUNKED), write("2\r\n{}\r\n"), Stall]),
        slow("headers byte by byte", vec![Drip(body.clone().into_bytes(), pause)]),
        slow(
            "a body byte by byte",
            vec![head("content-length: 99\r\n\r\n"), Drip(b" ".repeat(99), pause)],
        ),
        slow(
            "interim answers without end, slowly",
            vec![Drip(b"HTTP/1.1 102 Wait\r\n\r\n".repeat(99), pause)],
        ),
        Case::new(
            "silent, then answered",
            vec![vec![Stall], vec![Answer]],
            "Ok 2",
            "Ok 2",
        )
        .hurried(),
    ]
}

/// Bodies that are not as long as they say, or not what they say.
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
            "a length beyond all numbers",
            head("content-length: 99999999999999999999\r\n\r\n{}"),
        ),
        unreadable("a chunk size that is none", head(&format!("{CHUNKED}zz\r\n{{}}"))),
        unreadable(
            "a chunk beyond all numbers",
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
        unreadable(
            "a bomb, compressed",
            head("content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\0"),
        ),
        unreadable(
            "a deflate that is none",
            head("content-encoding: deflate\r\ncontent-length: 11\r\n\r\n{\"data\":[]}"),
        ),
        unreadable("a success without a body", head("content-length: 0\r\n\r\n")),
        Case::new(
            "no content, with a body",
            vec![vec![write("HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\n{}")]],
            "Ok 1",
            "Unknown OUTCOME_UNKNOWN 1 UNKNOWN",
        ),
    ]
}

/// Heads of answers that are odd or wrong.
fn heads() -> Vec<Case> {
    let unreadable = |name, text: &str| {
        Case::new(name, vec![vec![write(text), Close]], UNREADABLE, UNREADABLE_CREATE)
    };
    let fine = |name, text: &str| {
        // The body is that of a create, which no list can be read from.
        let body = r#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;
        let steps = vec![write(text), write(body), Close];
        Case::new(name, vec![steps], UNREADABLE, "Ok 1")
    };
    let many = "x: y\r\n".repeat(10_000);
    let long = format!("{HEAD}x: {}\r\n\r\n", "y".repeat(1_000_000));
    vec![
        unreadable("a page without a head (HTTP/0.9)", "<html>Welcome</html>\r\n"),
        unreadable("bytes of no meaning", "\0\u{1}\u{2}\u{7f}\r\n\r\n"),
        unreadable("HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        unreadable("a version to come", "HTTP/9.9 200 OK\r\n\r\n"),
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

/// More than anyone can hold.
fn floods() -> Vec<Case> {
    const LIMIT: u64 = 1_000_000;
    let too_large = |name, steps| {
        Case::new(name, vec![steps], TOO_LARGE, TOO_LARGE_CREATE).most_bytes(2 * LIMIT)
    };
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    vec![
        too_large("a body without end", vec![head("\r\n"), flood(" ")]),
        too_large("chunks without end", vec![head(CHUNKED), flood(&chunk)]),
        too_large(
            "a gigabyte, announced",
            vec![head("content-length: 1073741824\r\n\r\n"), flood(" ")],
        ),
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
            "interim answers without end",
            // Of a size that the client gets through unoptimised, too.
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

/// A script that does nothing but to be there.
pub(super) fn unused() -> Script {
    Script { reactions: vec![vec![Close]], ..Script::default() }
}
