//! For any bytes as a response, in any chunks, the transcoder that reads them as they
//! arrive makes the message, or reports the problem, that the one makes that has them all.
//!
//! The first byte of an input is a number of sizes, which follow. They are the sizes of
//! the chunks, again and again. The rest is the response. It is read as a whole and, as a
//! stream, one element by one and as many elements together as there are.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET, Rpc},
    transcode::{self, Elements, Framing, Progress},
};

/// The RPCs of the gateway, and those of the tests, with each kind of field.
static CONTRACTS: LazyLock<[Contract; 2]> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let tests = format!("{root}/src/transcode/response/tests");
    let mut compiler = protox::Compiler::new([tests, format!("{root}/proto")])
        .expect("the directories exist");
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("every.proto").expect("the file is valid");
    let tests = compiler.encode_file_descriptor_set();
    [DESCRIPTOR_SET, &tests]
        .map(|set| Contract::compile(set).expect("the descriptors are valid"))
});

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let Some((sizes, json)) = rest.split_at_checked(count.into()) else { return };
    let rpcs = CONTRACTS.iter().flat_map(|contract| {
        let path = |rpc: &Rpc| format!("/{}/{}", rpc.service, rpc.name);
        contract.rpcs().map(move |rpc| contract.rpc(&path(rpc)).expect("it is there"))
    });
    for rpc in rpcs {
        let whole = transcode::response(&rpc.response, json, 16 * json.len() + 64);
        let whole = whole.map_err(|error| error.to_string());
        assert_eq!(read(rpc, sizes, json, None), whole);
        for most in [0, usize::MAX] {
            assert_eq!(read(rpc, sizes, json, Some(most)), whole);
        }
    }
});

/// Reads a response as it arrives: as a whole, or its elements until there are `most` bytes.
fn read(
    rpc: &Arc<Rpc>,
    sizes: &[u8],
    mut json: &[u8],
    most: Option<usize>,
) -> Result<Vec<u8>, String> {
    let mut elements = if most.is_some() {
        Elements::of_stream(rpc, json.len().max(1))
    } else {
        Elements::new(rpc, json.len())
    };
    let mut sizes = sizes.iter().map(|size| chunk_size(*size)).cycle();
    let mut out = Vec::new();
    loop {
        let read = match most {
            Some(most) => elements.next(&mut out, Framing { prefix: |_| [], most }),
            None => elements.read(&mut out),
        };
        match read.map_err(|error| error.to_string())? {
            Progress::Room(capacity) => {
                assert!(capacity > out.capacity(), "it asks for what it has");
                out.reserve_exact(capacity - out.len());
            }
            Progress::Input if json.is_empty() => elements.end(),
            Progress::Input => {
                let size = sizes.next().unwrap_or(usize::MAX).min(json.len());
                let (chunk, rest) = json.split_at(size);
                elements.push(chunk.to_vec().into());
                json = rest;
            }
            Progress::Elements(_) | Progress::Turn => {}
            Progress::End => return Ok(out),
        }
    }
}

/// Returns the size of a chunk: small, or above what is looked at in one step.
fn chunk_size(size: u8) -> usize {
    let low = usize::from(size & 0x3f).max(1);
    match size >> 6 {
        0 | 1 => usize::from(size).max(1),
        2 => 64 * low,
        _ => 4096 * low,
    }
}
