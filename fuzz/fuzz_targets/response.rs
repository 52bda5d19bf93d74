//! For any bytes as a response, the transcoder does not panic, accepts only JSON,
//! and writes bytes that protobuf can read.

#![no_main]

use std::{str, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    transcode,
};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::{Deserialize, de::IgnoredAny};

/// A table of RPCs and the descriptors that it was compiled from.
struct Table {
    contract: Contract,
    pool: DescriptorPool,
}

impl Table {
    fn compile(descriptors: &[u8]) -> Self {
        Self {
            contract: Contract::compile(descriptors).expect("the descriptors are valid"),
            pool: DescriptorPool::decode(descriptors).expect("the descriptors are valid"),
        }
    }
}

/// The RPCs of the gateway, and those of the tests, with each kind of field.
static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let tests = format!("{root}/src/transcode/response/tests");
    let mut compiler = protox::Compiler::new([tests, format!("{root}/proto")])
        .expect("the directories exist");
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("every.proto").expect("the file is valid");
    [
        Table::compile(DESCRIPTOR_SET),
        Table::compile(&compiler.encode_file_descriptor_set()),
    ]
});

fuzz_target!(|json: &[u8]| {
    for table in TABLES.iter() {
        for rpc in table.contract.rpcs() {
            let Ok(bytes) = transcode::response(&rpc.response, json, 16 * json.len()) else {
                continue;
            };
            assert!(is_json(json), "accepted other text than JSON");
            let name = &rpc.response.root().name;
            let message =
                table.pool.get_message_by_name(name).expect("the pool has the type");
            DynamicMessage::decode(message, bytes.as_slice()).expect("the bytes decode");
        }
    }
});

fn is_json(json: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.disable_recursion_limit();
    let read = IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end());
    // The reader does not check UTF-8 in values that it ignores.
    read.is_ok() && str::from_utf8(json).is_ok()
}
