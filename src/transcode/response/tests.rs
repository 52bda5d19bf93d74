#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(in crate::transcode) mod oracle;
mod syntax;
mod values;

use std::sync::{Arc, LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage};

use super::*;
use crate::contract::{Contract, DESCRIPTOR_SET, Rpc};

pub(in crate::transcode) const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections";
pub(in crate::transcode) const CREATE: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/CreatePartnerSharedConnection";
pub(in crate::transcode) const EVERY: &str = "/every.v1.EveryService/Get";
pub(in crate::transcode) const STRICT: &str = "/every.v1.EveryService/GetStrict";

/// The list of one connection in Polytomic's documentation.
pub(in crate::transcode) const PAGE: &str = r#"{"data":[{"api_calls_last_24_hours":2021,"configuration":{"database":"example","hostname":"postgres.example.com","password":"********","port":5432,"username":"user"},"created_at":"2024-01-15T09:30:00Z","created_by":{"id":"12345678-1234-1234-1234-123456789012","name":"John Doe","type":"user"},"id":"248df4b7-aa70-47b8-a036-33ac447e668d","name":"My Postgres Connection","organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d","parent_connection_id":"248df4b7-aa70-47b8-a036-33ac447e668d","policies":["248df4b7-aa70-47b8-a036-33ac447e668d"],"saved":true,"status":"healthy","status_error":"error message","type":{"id":"postgresql","logo_url":"https://connect-assets.polytomic.com/logos/postgresql.svg","name":"PostgreSQL","operations":["bulksyncsource"]},"updated_at":"2024-01-15T09:30:00Z","updated_by":{"id":"12345678-1234-1234-1234-123456789012","name":"John Doe","type":"user"}}]}"#;

/// A table of RPCs and the descriptors that it was compiled from.
struct Table {
    contract: Contract,
    pool: DescriptorPool,
}

impl Table {
    fn compile(descriptors: &[u8]) -> Self {
        Self {
            contract: Contract::compile(descriptors).unwrap(),
            pool: DescriptorPool::decode(descriptors).unwrap(),
        }
    }
}

static OURS: LazyLock<Table> = LazyLock::new(|| Table::compile(DESCRIPTOR_SET));
static TESTS: LazyLock<Table> = LazyLock::new(|| {
    let root = env!("CARGO_MANIFEST_DIR");
    let tests = format!("{root}/src/transcode/response/tests");
    let mut compiler = protox::Compiler::new([tests, format!("{root}/proto")]).unwrap();
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file("every.proto")
        .unwrap();
    Table::compile(&compiler.encode_file_descriptor_set())
});

pub(in crate::transcode) fn rpc(path: &str) -> &'static Arc<Rpc> {
    let table = if path.starts_with("/every") { &TESTS } else { &OURS };
    table.contract.rpc(path).unwrap()
}

fn transcode(rpc: &str, json: &[u8]) -> Result<DynamicMessage, String> {
    let table = if rpc.starts_with("/every") { &TESTS } else { &OURS };
    let schema = &table.contract.rpc(rpc).unwrap().response;
    let bytes = response(schema, json, 16 * json.len() + 64)
        .map_err(|error| error.to_string())?;
    let message = table.pool.get_message_by_name(&schema.root().name).unwrap();
    Ok(DynamicMessage::decode(message, bytes.as_slice()).unwrap())
}

/// Asserts that JSON is read as a message, in protobuf's text format.
#[track_caller]
fn reads(rpc: &str, json: &str, text: &str) {
    assert_eq!(transcode(rpc, json.as_bytes()).unwrap().to_text_format(), text, "{json}");
}

#[track_caller]
fn rejects(rpc: &str, json: impl AsRef<[u8]>, error: &str) {
    let json = json.as_ref();
    let refused = transcode(rpc, json).unwrap_err();
    assert_eq!(refused, error, "{}", String::from_utf8_lossy(json));
}

#[test]
fn message_without_room_is_too_large_before_it_is_written() {
    // Two bytes of JSON are eleven of a Struct.
    let numbers = "0,".repeat(10_000);
    let json = format!(r#"{{"data":[{{"configuration":{{"n":[{numbers}0]}}}}]}}"#);
    let schema = &OURS.contract.rpc(LIST).unwrap().response;
    let read = |room| response(schema, json.as_bytes(), room);
    let whole = read(16 * json.len()).unwrap();
    assert!(whole.len() > 5 * json.len());
    for room in [0, json.len(), 2 * json.len(), 5 * json.len()] {
        assert!(read(room).unwrap_err().is_too_large(), "{room}");
    }
    assert_eq!(read(6 * json.len()).unwrap(), whole);
}

#[test]
fn documented_responses_are_read() {
    let bytes =
        response(&OURS.contract.rpc(LIST).unwrap().response, PAGE.as_bytes(), PAGE.len())
            .unwrap();
    let list: crate::proto::ListPartnerSharedConnectionsResponse =
        prost::Message::decode(bytes.as_slice()).unwrap();
    let connection = &list.connections[0];
    assert_eq!(connection.api_calls_last_24_hours, Some(2021));
    assert_eq!(connection.configuration.as_ref().unwrap().fields.len(), 5);
    assert_eq!(connection.created_at.as_ref().unwrap().seconds, 1_705_311_000);
    assert_eq!(connection.created_by.as_ref().unwrap().name(), "John Doe");
    assert_eq!(connection.policies, ["248df4b7-aa70-47b8-a036-33ac447e668d"]);
    assert_eq!(connection.r#type.as_ref().unwrap().operations, ["bulksyncsource"]);

    reads(CREATE, r#"{"data":{"id":"x"}}"#, r#"connection{id:"x"}"#);
}

#[test]
fn absent_null_and_empty_are_equal() {
    for json in
        ["{}", " { } ", r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"data" : [ ] }"#]
    {
        reads(LIST, json, "");
    }
    reads(LIST, r#"{"data":[{}]}"#, "connections:[{}]");
    reads(
        LIST,
        r#"{"data":[{"configuration":null,"id":null,"policies":null}]}"#,
        "connections:[{}]",
    );
    reads(EVERY, r#"{"a_bool":null,"a_time":null,"a_struct":null,"a_list":null}"#, "");
}

#[test]
fn object_with_only_unknown_keys_is_no_empty_message() {
    for key in ["error", "Message", "status", "results", "items", "success", "fault", "x"]
    {
        for value in ["null", r#""secret""#, "[]", r#"{"data":[]}"#] {
            let error = "the response: has none of the keys `data`";
            for json in [
                format!(r#"{{"{key}":{value}}}"#),
                format!(r#"{{"y":1,"{key}":{value},"z":{{"data":1}}}}"#),
            ] {
                rejects(LIST, &json, error);
                rejects(CREATE, &json, error);
            }
        }
        // With a key of the schema it is another key that is not known.
        for data in ["null", "[]"] {
            reads(LIST, &format!(r#"{{"{key}":1,"data":{data}}}"#), "");
            reads(LIST, &format!(r#"{{"data":{data},"{key}":1}}"#), "");
        }
        reads(LIST, &format!(r#"{{"data":[{{"{key}":null}}]}}"#), "connections:[{}]");
    }
    reads(LIST, "{}", "");
}

#[test]
fn default_is_kept_if_it_differs_from_absent() {
    let defaults = r#"{"a_bool":false,"a_int32":0,"a_double":0.0,"a_string":"","a_bytes":"","bools":[]}"#;
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    assert_eq!(response(schema, defaults.as_bytes(), defaults.len()).unwrap(), b"");
    reads(
        EVERY,
        r#"{"maybe_bool":false,"maybe_sint32":0,"maybe_float":0,"maybe_string":"","maybe_bytes":""}"#,
        r#"maybe_bool:false,maybe_sint32:0,maybe_float:0.0,maybe_string:"",maybe_bytes:"""#,
    );
    reads(EVERY, r#"{"bools":[false],"strings":[""]}"#, r#"bools:[false],strings:[""]"#);
}

#[test]
fn only_the_key_of_the_schema_names_a_field() {
    reads(EVERY, r#"{"a_int32":0,"renamed":"a","aBool":true,"A_BOOL":true,"":1}"#, "");
    reads(EVERY, r#"{"re-named \"é\"":"a"}"#, r#"renamed:"a""#);
    reads(EVERY, r#"{"re-n\u0061med \"\u00e9\"":"a"}"#, r#"renamed:"a""#);
}

#[test]
fn value_of_another_type_is_rejected_with_its_path() {
    rejects(LIST, "[]", "the response: expected an object, found a list");
    rejects(LIST, "null", "the response: expected an object, found null");
    rejects(LIST, r#"{"data":{}}"#, "data: expected a list, found an object");
    rejects(LIST, r#"{"data":[{},null]}"#, "data[1]: expected an object, found null");
    rejects(
        LIST,
        r#"{"data":[{"id":1}]}"#,
        "data[0].id: expected a string, found a number",
    );
    rejects(
        LIST,
        r#"{"data":[{"saved":"true"}]}"#,
        "data[0].saved: expected a bool, found a string",
    );
    rejects(
        LIST,
        r#"{"data":[{},{"created_at":true}]}"#,
        "data[1].created_at: expected an RFC 3339 time, found a bool",
    );
    rejects(
        LIST,
        r#"{"data":[{"created_at":"yesterday"}]}"#,
        "data[0].created_at: expected an RFC 3339 time",
    );
    rejects(
        LIST,
        r#"{"data":[{"type":{"operations":["a",null]}}]}"#,
        "data[0].type.operations[1]: expected a string, found null",
    );
    rejects(
        LIST,
        r#"{"data":[{"configuration":[]}]}"#,
        "data[0].configuration: expected an object, found a list",
    );
    rejects(EVERY, r#"{"bools":[true,1]}"#, "bools[1]: expected a bool, found a number");
    rejects(EVERY, r#"{"a_int32":1.5}"#, "a_int32: expected a 32-bit integer");
    rejects(EVERY, r#"{"structs":[null]}"#, "structs[0]: expected an object, found null");
}

#[test]
fn errors_quote_nothing_from_the_json() {
    for json in [
        r#"{"data":[{"configuration":{"secret":{"secret":1e}}}]}"#,
        r#"{"secret":{"secret":tru}}"#,
        r#"{"data":[{"created_at":"secret"}]}"#,
        r#"{"data":[{"id":"secret","id":"secret"}]}"#,
    ] {
        let error = transcode(LIST, json.as_bytes()).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn known_key_may_occur_once() {
    rejects(LIST, r#"{"data":[],"data":[]}"#, "data: occurs twice");
    rejects(LIST, r#"{"data":null,"data":[]}"#, "data: occurs twice");
    rejects(
        LIST,
        r#"{"data":[{"id":"a","name":"b","id":"a"}]}"#,
        "data[0].id: occurs twice",
    );
    reads(LIST, r#"{"x":1,"x":2,"data":[]}"#, "");
    reads(
        EVERY,
        r#"{"a_struct":{"x":1,"x":2}}"#,
        r#"a_struct{fields:[{key:"x",value{number_value:2.0}}]}"#,
    );
}

#[test]
fn required_fields_must_be_set() {
    rejects(CREATE, "{}", "data: must be set, but is missing, null or empty");
    rejects(
        CREATE,
        r#"{"data":null}"#,
        "data: must be set, but is missing, null or empty",
    );
    for data in ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"ID":"x"}"#] {
        let error = "data.id: must be set, but is missing, null or empty";
        rejects(CREATE, format!(r#"{{"data":{data}}}"#), error);
    }
    rejects(STRICT, "{}", "id, names, count: must be set, but is missing, null or empty");
    rejects(
        STRICT,
        r#"{"id":"a","names":[],"count":1}"#,
        "names: must be set, but is missing, null or empty",
    );
    rejects(
        STRICT,
        r#"{"id":"a","names":[""],"count":1,"next":{"id":"b","names":["c"]}}"#,
        "next.count: must be set, but is missing, null or empty",
    );
    // An explicit zero is a value.
    reads(STRICT, r#"{"id":"a","names":[""],"count":0}"#, r#"id:"a",names:[""]"#);
}
