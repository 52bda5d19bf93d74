#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::transcode::{
    response,
    response::tests::{
        CREATE, EVERY, LIST, PAGE, STRICT,
        oracle::{choices, generate, mutate},
        rpc,
    },
};

/// How a test reads a response.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    Whole,
    OneByOne,
    /// Some elements at a time, each behind its length.
    Framed,
}

const ONE: Framing<0> = Framing { prefix: |_| [], most: 0 };
const SOME: Framing<8> = Framing { prefix: usize::to_le_bytes, most: 300 };

/// Reads chunks to their end. The output grows by as little as it may.
fn read_chunks(
    path: &str,
    chunks: &[&[u8]],
    reading: Reading,
) -> Result<Vec<u8>, String> {
    let length = chunks.iter().map(|chunk| chunk.len()).sum();
    let mut elements = match reading {
        Reading::Whole => Elements::new(rpc(path), length),
        _ => Elements::of_stream(rpc(path), length.max(1)),
    };
    let mut chunks = chunks.iter();
    let (mut out, mut message) = (Vec::new(), Vec::new());
    loop {
        let progress = match reading {
            Reading::Whole => elements.read(&mut out),
            Reading::OneByOne => elements.next(&mut out, ONE),
            Reading::Framed => elements.next(&mut out, SOME),
        };
        match progress.map_err(|error| error.to_string())? {
            Progress::Elements(count) if reading == Reading::Framed => {
                unframe(&out, count, &mut message);
                out.clear();
            }
            Progress::Elements(count) => {
                assert_eq!((reading, count), (Reading::OneByOne, 1));
            }
            Progress::Turn => assert_eq!(reading, Reading::Whole),
            Progress::Room(capacity) => {
                assert!(capacity > out.capacity(), "{capacity} are no more room");
                out.reserve_exact(capacity - out.len());
            }
            Progress::Input => match chunks.next() {
                Some(chunk) => {
                    let most = elements.held_with(chunk.len());
                    elements.push(Bytes::copy_from_slice(chunk));
                    assert!(elements.arrival.rest.capacity() <= most.max(LEAST));
                }
                None => elements.end(),
            },
            Progress::End => return Ok([message, out].concat()),
        }
    }
}

/// Appends the messages of frames to `message`.
fn unframe(mut frames: &[u8], count: u64, message: &mut Vec<u8>) {
    assert!(count > 0);
    for _ in 0..count {
        let (length, rest) = frames.split_first_chunk().unwrap();
        let (one, rest) = rest.split_at(usize::from_le_bytes(*length));
        message.extend_from_slice(one);
        frames = rest;
    }
    assert_eq!(frames, b"", "{count} messages");
}

/// The capacity of a small buffer, for which no memory is reserved.
const LEAST: usize = 8 * 1024;

fn read_whole(path: &str, json: &[u8]) -> Result<Vec<u8>, String> {
    let read = response(&rpc(path).response, json, 16 * json.len() + 64);
    read.map_err(|error| error.to_string())
}

/// Asserts that chunks are read as the whole is.
#[track_caller]
fn agrees(path: &str, json: &[u8], chunks: &[&[u8]]) {
    let whole = read_whole(path, json);
    let mut readings = vec![Reading::Whole, Reading::OneByOne];
    if path == LIST {
        readings.push(Reading::Framed);
    }
    for reading in readings {
        let read = read_chunks(path, chunks, reading);
        assert_eq!(read, whole, "{} {reading:?}", String::from_utf8_lossy(json));
    }
}

#[track_caller]
fn agrees_in_any_chunks(path: &str, json: impl AsRef<[u8]>) {
    let json = json.as_ref();
    for split in 0..=json.len() {
        let (first, second) = json.split_at(split);
        agrees(path, json, &[first, second]);
        // And cut short there.
        agrees(path, first, &[first]);
    }
    for size in [1, 2, 3, 7] {
        agrees(path, json, &json.chunks(size).collect::<Vec<_>>());
    }
}

#[test]
fn room_is_always_more_than_there_is() {
    // The text ends where the output is as full as it may be.
    for length in 0..40 {
        let values = vec!["1"; length].join(",");
        let json = format!(r#"{{"values":[{values},"#);
        agrees(EVERY, json.as_bytes(), &[json.as_bytes()]);
        let invalid = [json.as_bytes(), &[0xfe]].concat();
        agrees(EVERY, &invalid, &[&invalid]);
    }
}

#[test]
fn response_in_any_chunks_is_read_as_the_whole() {
    agrees_in_any_chunks(LIST, PAGE);
    agrees_in_any_chunks(CREATE, r#"{"data":{"id":"x","name":"é\ud83d\ude00"}}"#);
    for json in [
        "{}",
        " { } ",
        r#"{"data":null}"#,
        r#"{"data":[]}"#,
        r#"{ "data" : [ { } , { } ] , "x" : 1 } "#,
        r#"{"x":[1,{"y":2}],"data":[{"id":"é€😀"}],"error":null}"#,
        r#"{"x":1,"error":"e"}"#,
        r#"{"data":[{"id":"a","id":"b"}]}"#,
        r#"{"data":[{},null]}"#,
        r#"{"data":[{},{}],"data":null}"#,
        r#"{"data":[{}}"#,
        r#"{"data":[{},]}"#,
        r#"{"data":[{}]} x"#,
        r#"{"data":[{"id":1}]}"#,
        r#"{"data":nul}"#,
        r#"{"data":{}}"#,
        r#"{"data":[{"id":"\ud83d\u0041"}]}"#,
        r#"{"data":[{"id":"\ud83d\n"}]}"#,
        r#"{"data":[{"configuration":{"a":[01]}}]}"#,
        "[]",
        "null",
        "",
        "  ",
    ] {
        agrees_in_any_chunks(LIST, json);
    }
    for json in [
        r#"{"a_int32":99999999999e-5,"doubles":[1e5,2.5],"values":[1,23,"4",null,{}]}"#,
        r#"{"a_int32":99999999999,"doubles":[1]}"#,
        r#"{"strings":["a","b",""],"loose_uint64s":[12,34],"messages":[{"a_int32":1}]}"#,
        r#"{"loose_uint64s":[12,-1]}"#,
        r#"{"loose_floats":[1,"NaN",1e39]}"#,
        r#"{"lists":[[],[1]],"times":["2024-01-15T09:30:00Z","x"]}"#,
    ] {
        agrees_in_any_chunks(EVERY, json);
    }
    for json in [
        r#"{"id":"","names":["a"],"count":1}"#,
        r#"{"id":"x","names":[],"count":1}"#,
        r#"{"id":"x","names":["a"]}"#,
        r#"{"id":"x","names":["a"],"count":0}"#,
    ] {
        agrees_in_any_chunks(STRICT, json);
    }
}

#[test]
fn first_problem_in_the_text_is_the_error() {
    for json in [
        &b"{\"data\":[{\"id\":\"\xff\"}]}"[..],
        b"{\"data\":[{\"id\":1}],\"x\":\"\xff\"}",
        b"{\"data\":[{}]}\xff",
        b"{\"data\":[{}]}\xc3",
        b"{\"data\":[{\"api_calls_last_24_hours\":99999999999999999999\xff",
        b"{\"x\":\"\xed\xa0\x80\"}",
        b"\xc3",
        b"\xc3\xa9",
    ] {
        agrees_in_any_chunks(LIST, json);
    }
    // Nothing of the next element is text, and there is no room for its tag.
    agrees_in_any_chunks(EVERY, b"{\"values\":[1,\xff");
    let twice = b"{\"data\":[{\"id\":1}],\"x\":\"\xff\"}";
    let error = read_whole(LIST, twice).unwrap_err();
    assert_eq!(error, "data[0].id: expected a string, found a number");
}

#[test]
fn element_of_any_size_is_read() {
    for length in [0, 1, LEAST, TURN - 30, TURN, 3 * TURN] {
        let text = "é".repeat(length / 2);
        let id = "i".repeat(length);
        let json = format!(
            r#"{{"{text}":"{text}","data":[{{}},{{"id":"{id}"}},{{"name":"{text}"}},{{}}]}}"#
        );
        for size in [1000, 16 * 1024, TURN + 1, json.len()] {
            agrees(
                LIST,
                json.as_bytes(),
                &json.as_bytes().chunks(size).collect::<Vec<_>>(),
            );
        }
    }
}

#[test]
fn each_element_is_a_message_of_its_own() {
    let json = format!(r#"{{"data":[{}]}}"#, [r#"{"id":"a"}"#; 3].join(" , "));
    for size in [1, 5, json.len()] {
        let mut elements = Elements::new(rpc(LIST), json.len());
        let mut chunks = json.as_bytes().chunks(size);
        let mut out = Vec::with_capacity(2 * LEAST);
        let mut messages = Vec::new();
        loop {
            match elements.next(&mut out, ONE).unwrap() {
                Progress::Elements(_) => messages.push(mem::take(&mut out)),
                Progress::Room(capacity) => out.reserve_exact(capacity),
                Progress::Input => match chunks.next() {
                    Some(chunk) => elements.push(Bytes::copy_from_slice(chunk)),
                    None => elements.end(),
                },
                progress => break assert_eq!(progress, Progress::End),
            }
        }
        let one = read_whole(LIST, br#"{"data":[{"id":"a"}]}"#).unwrap();
        assert_eq!(messages, [one.as_slice(); 3]);
        assert_eq!(out, b"", "nothing follows the last one");
    }
}

#[test]
fn elements_are_framed_until_they_are_as_many_as_wanted() {
    let json =
        format!(r#"{{"data":[{}]}}"#, vec![r#"{"id":"0123456789"}"#; 100].join(","));
    let one = read_whole(LIST, br#"{"data":[{"id":"0123456789"}]}"#).unwrap();
    let frame = size_of::<usize>() + one.len();
    let mut elements = Elements::new(rpc(LIST), json.len());
    elements.push(json.into());
    elements.end();
    let mut out = Vec::with_capacity(2 * LEAST);
    for left in (1..=100).rev().step_by(SOME.most.div_ceil(frame)) {
        let count = left.min(SOME.most.div_ceil(frame));
        let progress = Progress::Elements(count as u64);
        assert_eq!(elements.next(&mut out, SOME).unwrap(), progress);
        assert_eq!(out.len(), count * frame);
        out.clear();
    }
    assert_eq!(elements.next(&mut out, SOME).unwrap(), Progress::End);
}

#[test]
fn elements_before_a_problem_come_before_it() {
    let json = r#"{"data":[{"id":"a"},{"id":"b"},{"id":1}]}"#;
    let mut elements = Elements::new(rpc(LIST), json.len());
    elements.push(json.into());
    let mut out = Vec::with_capacity(2 * LEAST);
    assert_eq!(elements.next(&mut out, SOME).unwrap(), Progress::Elements(2));
    let mut message = Vec::new();
    unframe(&out, 2, &mut message);
    let good = read_whole(LIST, br#"{"data":[{"id":"a"},{"id":"b"}]}"#).unwrap();
    assert_eq!(message, good);
    out.clear();
    for _ in 0..2 {
        let error = elements.next(&mut out, SOME).unwrap_err().to_string();
        assert_eq!(error, "data[2].id: expected a string, found a number");
        assert_eq!(out, b"");
    }
}

#[test]
fn turn_is_at_most_64_kib_of_small_elements() {
    let one = r#"{"id":"0123456789abcdef"}"#;
    let json = format!(r#"{{"data":[{}]}}"#, vec![one; 20_000].join(","));
    for size in [1000, TURN / 2, TURN + 1, json.len()] {
        let mut elements = Elements::new(rpc(LIST), json.len());
        let mut out = Vec::with_capacity(2 * json.len());
        let mut chunks = json.as_bytes().chunks(size);
        let (mut turns, mut written) = (0, 0);
        loop {
            match elements.read(&mut out).unwrap() {
                Progress::Turn => {
                    turns += 1;
                    assert!(out.len() - written <= TURN, "{size}");
                    written = out.len();
                }
                Progress::Input => match chunks.next() {
                    Some(chunk) => elements.push(Bytes::copy_from_slice(chunk)),
                    None => elements.end(),
                },
                progress => break assert_eq!(progress, Progress::End),
            }
        }
        assert!(turns >= json.len() / TURN, "{size}: {turns} turns");
    }
}

#[test]
fn white_space_is_not_kept() {
    let spaces = " ".repeat(LEAST);
    let mut elements = Elements::new(rpc(LIST), usize::MAX);
    let mut out = Vec::with_capacity(4 * LEAST);
    for token in ["", r#"{"x":1"#, r#","data":[{}"#, ",", "{}", "]", "}", ""] {
        for chunk in [token, &spaces, &spaces, &spaces] {
            elements.push(Bytes::copy_from_slice(chunk.as_bytes()));
            while elements.read(&mut out).unwrap() != Progress::Input {}
        }
        assert_eq!(elements.held_with(0), 0, "{token}");
    }
    elements.end();
    assert_eq!(elements.read(&mut out).unwrap(), Progress::End);
}

/// What is not whole is read again when its text has doubled: a step of `n` bytes is read
/// up to `2 n` bytes in all, in chunks of any size.
#[test]
fn large_element_in_small_chunks_is_not_read_again_with_each() {
    let json = format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "i".repeat(1 << 20));
    let mut elements = Elements::new(rpc(LIST), json.len());
    let mut out = Vec::with_capacity(2 * json.len() + SLACK);
    let (mut looked_at, mut chunks) = (0, json.as_bytes().chunks(100));
    loop {
        let window = elements.window();
        let is_read = elements.arrival.is_worth_reading();
        match elements.read(&mut out).unwrap() {
            // Nothing was read before it.
            Progress::Turn => continue,
            Progress::Input => match chunks.next() {
                Some(chunk) => elements.push(Bytes::copy_from_slice(chunk)),
                None => elements.end(),
            },
            progress => break assert_eq!(progress, Progress::End),
        }
        looked_at += if is_read { window } else { 0 };
    }
    assert!(looked_at <= 4 * json.len(), "{looked_at} of {}", json.len());
}

/// As above, of a stream. Each element is read with the chunk that ends it.
#[test]
fn elements_in_small_chunks_are_read_when_they_have_arrived() {
    const ELEMENTS: usize = 4;

    let element = format!(r#"{{"id":"{}"}}"#, "i".repeat(16 * 1024));
    let start = r#"{"data":["#.len();
    let json = format!(r#"{{"data":[{}]}}"#, [&*element; ELEMENTS].join(","));
    let mut elements = Elements::of_stream(rpc(LIST), 1 << 20);
    let mut out = Vec::with_capacity(2 * json.len() + SLACK);
    let framing = Framing { prefix: |_| [], most: usize::MAX };
    let (mut looked_at, mut read) = (0, 0);
    for (arrived, byte) in (1..).zip(json.as_bytes().chunks(1)) {
        elements.push(Bytes::copy_from_slice(byte));
        loop {
            let window = elements.window();
            looked_at += if elements.arrival.is_worth_reading() { window } else { 0 };
            match elements.next(&mut out, framing).unwrap() {
                Progress::Elements(more) => read += more,
                Progress::Turn => {}
                _ => break,
            }
        }
        let ended = arrived.max(start) - start + 1;
        assert_eq!(
            usize::try_from(read).unwrap(),
            (ended / (element.len() + 1)).min(ELEMENTS)
        );
    }
    assert!(looked_at <= 12 * json.len(), "{looked_at} of {}", json.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn generated_response_in_chunks_is_read_as_the_whole(
        choices in choices(),
        mutations in prop::collection::vec(any::<(u16, u8, u8)>(), 0..4),
        sizes in prop::collection::vec(1..200_usize, 1..20),
    ) {
        for path in [LIST, CREATE, EVERY, STRICT] {
            let mut json = generate(path, &choices).into_bytes();
            for mutation in &mutations {
                mutate(&mut json, *mutation);
            }
            let mut chunks = Vec::new();
            let mut rest = json.as_slice();
            for size in sizes.iter().cycle() {
                let chunk = rest.split_off(..rest.len().min(*size)).unwrap();
                if chunk.is_empty() {
                    break;
                }
                chunks.push(chunk);
            }
            agrees(path, &json, &chunks);
        }
    }
}
