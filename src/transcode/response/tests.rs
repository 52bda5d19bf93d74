#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;

use std::{fmt::Write as _, sync::LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage};

use super::*;
use crate::contract::{Contract, DESCRIPTOR_SET};

const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections";
const CREATE: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/CreatePartnerSharedConnection";
const EVERY: &str = "/every.v1.EveryService/Get";
const STRICT: &str = "/every.v1.EveryService/GetStrict";

/// A list of one connection, from the page of the endpoint.
const PAGE: &str = r#"{"data":[{"api_calls_last_24_hours":2021,"configuration":{"database":"example","hostname":"postgres.example.com","password":"********","port":5432,"username":"user"},"created_at":"2024-01-15T09:30:00Z","created_by":{"id":"12345678-1234-1234-1234-123456789012","name":"John Doe","type":"user"},"id":"248df4b7-aa70-47b8-a036-33ac447e668d","name":"My Postgres Connection","organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d","parent_connection_id":"248df4b7-aa70-47b8-a036-33ac447e668d","policies":["248df4b7-aa70-47b8-a036-33ac447e668d"],"saved":true,"status":"healthy","status_error":"error message","type":{"id":"postgresql","logo_url":"https://connect-assets.polytomic.com/logos/postgresql.svg","name":"PostgreSQL","operations":["bulksyncsource"]},"updated_at":"2024-01-15T09:30:00Z","updated_by":{"id":"12345678-1234-1234-1234-123456789012","name":"John Doe","type":"user"}}]}"#;

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

fn transcode(rpc: &str, json: &[u8]) -> Result<DynamicMessage, String> {
    let table = if rpc.starts_with("/every") { &TESTS } else { &OURS };
    let schema = &table.contract.rpc(rpc).unwrap().response;
    let bytes = response(schema, json).map_err(|error| error.to_string())?;
    let message = table.pool.get_message_by_name(&schema.root().name).unwrap();
    Ok(DynamicMessage::decode(message, bytes.as_slice()).unwrap())
}

/// Asserts that JSON is read, and as what: protobuf's text format.
#[track_caller]
fn reads(rpc: &str, json: &str, text: &str) {
    assert_eq!(transcode(rpc, json.as_bytes()).unwrap().to_text_format(), text, "{json}");
}

#[track_caller]
fn refuses(rpc: &str, json: impl AsRef<[u8]>, error: &str) {
    let json = json.as_ref();
    let refused = transcode(rpc, json).unwrap_err();
    assert_eq!(refused, error, "{}", String::from_utf8_lossy(json));
}

#[test]
fn reads_the_documented_answers() {
    let bytes =
        response(&OURS.contract.rpc(LIST).unwrap().response, PAGE.as_bytes()).unwrap();
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
fn absent_null_and_empty_read_alike() {
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
fn a_default_is_kept_where_it_differs_from_absent() {
    let defaults = r#"{"a_bool":false,"a_int32":0,"a_double":0.0,"a_string":"","a_bytes":"","bools":[]}"#;
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    assert_eq!(response(schema, defaults.as_bytes()).unwrap(), b"");
    reads(
        EVERY,
        r#"{"maybe_bool":false,"maybe_sint32":0,"maybe_float":0,"maybe_string":"","maybe_bytes":""}"#,
        r#"maybe_bool:false,maybe_sint32:0,maybe_float:0.0,maybe_string:"",maybe_bytes:"""#,
    );
    reads(EVERY, r#"{"bools":[false],"strings":[""]}"#, r#"bools:[false],strings:[""]"#);
}

#[test]
fn only_the_key_of_the_schema_is_known() {
    reads(EVERY, r#"{"renamed":"a","aBool":true,"A_BOOL":true,"":1}"#, "");
    reads(EVERY, r#"{"re-named \"é\"":"a"}"#, r#"renamed:"a""#);
    reads(EVERY, r#"{"re-n\u0061med \"\u00e9\"":"a"}"#, r#"renamed:"a""#);
}

#[test]
fn unknown_keys_are_skipped_and_must_be_json_all_the_same() {
    let unknown = r#"{"x":[{"y":[1,-2.5e+3,"\u00e9\ud83d\ude00",true,false,null,{}]}, []],"a_int32":1}"#;
    reads(EVERY, unknown, "a_int32:1");
    for bad in [
        r#"{"x":01}"#,
        r#"{"x":+1}"#,
        r#"{"x":.5}"#,
        r#"{"x":1.}"#,
        r#"{"x":1e}"#,
        r#"{"x":-}"#,
        r#"{"x":0x1}"#,
        r#"{"x":NaN}"#,
        r#"{"x":tru}"#,
        r#"{"x":nullx}"#,
        r#"{"x":'a'}"#,
        r#"{"x":[1,]}"#,
        r#"{"x":[,1]}"#,
        r#"{"x":[1 2]}"#,
        r#"{"x":{"y"}}"#,
        r#"{"x":{"y":1,}}"#,
        r#"{"x":{y:1}}"#,
        r#"{"x":[}"#,
        r#"{"x":{]}"#,
        r#"{"x":"\x"}"#,
        r#"{"x":"\u12g4"}"#,
        r#"{"x":"\ud800"}"#,
        r#"{"x":"\udc00"}"#,
        "{\"x\":\"\n\"}",
        r#"{"x"}"#,
        r#"{"x":}"#,
        r#"{,}"#,
        r#"{"x":1,}"#,
        r#"{"x":1 "y":2}"#,
        r#"{"x"::1}"#,
        r#"{"x":1}}"#,
        "{}{}",
        "{} x",
        "{}\0",
        "\u{feff}{}",
        "// {}",
        "",
    ] {
        let error = transcode(EVERY, bad.as_bytes()).unwrap_err();
        assert!(error.starts_with("the JSON "), "{bad}: {error}");
    }
}

#[test]
fn malformed_json_is_refused_with_the_byte() {
    refuses(LIST, "", "the JSON ends early (byte 0)");
    refuses(LIST, r#"{"data":["#, "the JSON ends early (byte 9)");
    refuses(LIST, r#"{"data":[]"#, "the JSON ends early (byte 10)");
    refuses(LIST, r#"{"data":[]} ]"#, "the JSON has more text after its end (byte 12)");
    refuses(LIST, b"{\"data\":\"\xff\"}", "the JSON is not UTF-8 (byte 9)");
    refuses(LIST, b"{\"\xed\xa0\x80\":1}", "the JSON is not UTF-8 (byte 2)");
    refuses(
        LIST,
        r#"{"data"[]}"#,
        "the JSON is malformed: expected a colon after a key (byte 7)",
    );
    refuses(
        LIST,
        r#"{"data":[{},]}"#,
        "the JSON is malformed: expected a value (byte 12)",
    );
    refuses(
        LIST,
        r#"{data:[]}"#,
        "the JSON is malformed: expected a key in quotes (byte 1)",
    );
    let comma = "the JSON is malformed: expected a comma or the end of the object or list (byte 11)";
    refuses(LIST, r#"{"data":[{}{}]}"#, comma);
    refuses(
        LIST,
        "{\"a\tb\":1}",
        "the JSON is malformed: a control character in a string (byte 3)",
    );
}

#[test]
fn an_answer_that_stops_short_is_refused_wherever_it_stops() {
    for end in 0..PAGE.len() {
        refuses(LIST, &PAGE[..end], &format!("the JSON ends early (byte {end})"));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_path() {
    refuses(LIST, "[]", "the answer: expected an object, found a list");
    refuses(LIST, "null", "the answer: expected an object, found null");
    refuses(LIST, r#"{"data":{}}"#, "data: expected a list, found an object");
    refuses(LIST, r#"{"data":[{},null]}"#, "data[1]: expected an object, found null");
    refuses(
        LIST,
        r#"{"data":[{"id":1}]}"#,
        "data[0].id: expected a string, found a number",
    );
    refuses(
        LIST,
        r#"{"data":[{"saved":"true"}]}"#,
        "data[0].saved: expected a bool, found a string",
    );
    refuses(
        LIST,
        r#"{"data":[{},{"created_at":true}]}"#,
        "data[1].created_at: expected an RFC 3339 time, found a bool",
    );
    refuses(
        LIST,
        r#"{"data":[{"created_at":"yesterday"}]}"#,
        "data[0].created_at: expected an RFC 3339 time",
    );
    refuses(
        LIST,
        r#"{"data":[{"type":{"operations":["a",null]}}]}"#,
        "data[0].type.operations[1]: expected a string, found null",
    );
    refuses(
        LIST,
        r#"{"data":[{"configuration":[]}]}"#,
        "data[0].configuration: expected an object, found a list",
    );
    refuses(EVERY, r#"{"bools":[true,1]}"#, "bools[1]: expected a bool, found a number");
    refuses(EVERY, r#"{"a_int32":1.5}"#, "a_int32: expected a 32-bit integer");
    refuses(EVERY, r#"{"structs":[null]}"#, "structs[0]: expected an object, found null");
}

#[test]
fn errors_quote_nothing_from_the_json() {
    for json in [
        r#"{"data":[{"configuration":{"secret":{"secret":1e999}}}]}"#,
        r#"{"secret":{"secret":tru}}"#,
        r#"{"data":[{"created_at":"secret"}]}"#,
        r#"{"data":[{"id":"secret","id":"secret"}]}"#,
    ] {
        let error = transcode(LIST, json.as_bytes()).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_known_key_may_come_once() {
    refuses(LIST, r#"{"data":[],"data":[]}"#, "data: is there twice");
    refuses(LIST, r#"{"data":null,"data":[]}"#, "data: is there twice");
    refuses(
        LIST,
        r#"{"data":[{"id":"a","name":"b","id":"a"}]}"#,
        "data[0].id: is there twice",
    );
    reads(LIST, r#"{"x":1,"x":2}"#, "");
    reads(
        EVERY,
        r#"{"a_struct":{"x":1,"x":2}}"#,
        r#"a_struct{fields:[{key:"x",value{number_value:2.0}}]}"#,
    );
}

#[test]
fn what_is_required_must_be_there() {
    refuses(CREATE, "{}", "data: must be set, but is missing, null or empty");
    refuses(
        CREATE,
        r#"{"data":null}"#,
        "data: must be set, but is missing, null or empty",
    );
    for data in ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"ID":"x"}"#] {
        let error = "data.id: must be set, but is missing, null or empty";
        refuses(CREATE, format!(r#"{{"data":{data}}}"#), error);
    }
    refuses(STRICT, "{}", "id, names, count: must be set, but is missing, null or empty");
    refuses(
        STRICT,
        r#"{"id":"a","names":[],"count":1}"#,
        "names: must be set, but is missing, null or empty",
    );
    refuses(
        STRICT,
        r#"{"id":"a","names":[""],"count":1,"next":{"id":"b","names":["c"]}}"#,
        "next.count: must be set, but is missing, null or empty",
    );
    // An explicit zero is a value.
    reads(STRICT, r#"{"id":"a","names":[""],"count":0}"#, r#"id:"a",names:[""]"#);
}

#[test]
fn integers_are_read_however_they_are_written_and_kept_in_range() {
    for one_thousand in
        ["1000", "\"1000\"", "1e3", "1E+3", "1000.0", "10000e-1", "\"1.0e3\"", "0.1e4"]
    {
        for key in ["a_int32", "a_sint32", "a_sfixed32", "a_uint32", "a_fixed32"] {
            reads(
                EVERY,
                &format!(r#"{{"{key}":{one_thousand}}}"#),
                &format!("{key}:1000"),
            );
        }
        for key in ["a_int64", "a_sint64", "a_sfixed64", "a_uint64", "a_fixed64"] {
            reads(
                EVERY,
                &format!(r#"{{"{key}":{one_thousand}}}"#),
                &format!("{key}:1000"),
            );
        }
    }
    for (keys, least, greatest, below, above) in [
        (
            ["a_int32", "a_sint32", "a_sfixed32"],
            "-2147483648",
            "2147483647",
            "-2147483649",
            "2147483648",
        ),
        (["a_uint32", "a_fixed32", "a_uint32"], "0", "4294967295", "-1", "4294967296"),
        (
            ["a_int64", "a_sint64", "a_sfixed64"],
            "-9223372036854775808",
            "9223372036854775807",
            "-9223372036854775809",
            "9223372036854775808",
        ),
        (
            ["a_uint64", "a_fixed64", "a_uint64"],
            "0",
            "18446744073709551615",
            "-1",
            "18446744073709551616",
        ),
    ] {
        for key in keys {
            for value in [least, greatest] {
                let text =
                    if value == "0" { String::new() } else { format!("{key}:{value}") };
                reads(EVERY, &format!(r#"{{"{key}":{value}}}"#), &text);
                reads(EVERY, &format!(r#"{{"{key}":"{value}"}}"#), &text);
                reads(EVERY, &format!(r#"{{"{key}":{value}.00}}"#), &text);
            }
            for value in [below, above, "1.5", "1e-1", "1e400", "1e99999999999999999999"]
            {
                transcode(EVERY, format!(r#"{{"{key}":{value}}}"#).as_bytes())
                    .unwrap_err();
                transcode(EVERY, format!(r#"{{"{key}":"{value}"}}"#).as_bytes())
                    .unwrap_err();
            }
        }
    }
    for no_number in [
        r#""""#, r#"" 1""#, r#""1 ""#, r#""0x1""#, r#""+1""#, r#""01""#, "true", "[]",
        r#""NaN""#,
    ] {
        transcode(EVERY, format!(r#"{{"a_int64":{no_number}}}"#).as_bytes()).unwrap_err();
    }
    let zeros = "0".repeat(1000);
    reads(EVERY, &format!(r#"{{"a_int32":1{zeros}e-1000}}"#), "a_int32:1");
    reads(EVERY, &format!(r#"{{"a_int32":0.{zeros}7e1001}}"#), "a_int32:7");
    reads(EVERY, r#"{"maybe_int64":-0}"#, "maybe_int64:0");
    reads(EVERY, r#"{"maybe_int64":0e9999}"#, "maybe_int64:0");
}

#[test]
fn floats_are_read_with_their_words_and_kept_in_range() {
    for (json, text) in [
        ("1", "1.0"),
        ("-2.5e-3", "-0.0025"),
        ("\"0.5\"", "0.5"),
        ("\"1e3\"", "1000.0"),
        ("\"NaN\"", "NaN"),
        ("\"Infinity\"", "inf"),
        ("\"-Infinity\"", "-inf"),
        ("1e-400", "0.0"),
        ("-0.0", "-0.0"),
        ("123456789012345678901234567890", "123456789012345677877719597056.0"),
    ] {
        reads(EVERY, &format!(r#"{{"doubles":[{json}]}}"#), &format!("doubles:[{text}]"));
    }
    reads(
        EVERY,
        r#"{"loose_floats":[3.4028235e38,"NaN",16777217]}"#,
        "loose_floats:[340282346638528859811704183484516925440.0,NaN,16777216.0]",
    );
    for json in [
        "1e400",
        "-1e400",
        "\"1e400\"",
        "\"inf\"",
        "\"nan\"",
        "\"infinity\"",
        "\"\"",
        "\"1.\"",
        "true",
    ] {
        transcode(EVERY, format!(r#"{{"a_double":{json}}}"#).as_bytes()).unwrap_err();
        transcode(EVERY, format!(r#"{{"a_float":{json}}}"#).as_bytes()).unwrap_err();
    }
    refuses(EVERY, r#"{"a_float":1e39}"#, "a_float: expected a float");
}

#[test]
fn bytes_are_base64_in_either_alphabet_padded_or_not() {
    for json in ["-_8=", "-_8", "+/8=", "+/8", "\\u002b\\/8"] {
        reads(EVERY, &format!(r#"{{"a_bytes":"{json}"}}"#), r#"a_bytes:"\373\377""#);
    }
    reads(EVERY, r#"{"byteses":["","AA=="]}"#, r#"byteses:["","\000"]"#);
    for json in ["A", "A===", "AA=A", "A A=", "Aé==", "-/8="] {
        refuses(
            EVERY,
            format!(r#"{{"a_bytes":"{json}"}}"#),
            "a_bytes: expected bytes in base64",
        );
    }
}

#[test]
fn strings_are_unescaped_wherever_the_escape_stands() {
    let all = r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83D\uDe00""#;
    reads(
        EVERY,
        &format!(r#"{{"a_string":{all}}}"#),
        r#"a_string:"\"\\/\010\014\n\r\tA\303\251\342\202\254\360\237\230\200""#,
    );
    for before in 0..40 {
        for after in 0..40 {
            let (before, after) = ("é".repeat(before), "x".repeat(after));
            let json = format!(r#"{{"a_string":"{before}\n{after}"}}"#);
            let message = transcode(EVERY, json.as_bytes()).unwrap();
            let string = message.get_field_by_name("a_string").unwrap();
            assert_eq!(string.as_str().unwrap(), format!("{before}\n{after}"));
        }
    }
    for bad in
        [r"\ud83d", r"\ud83d\n", r"\ud83dx", r"\ud83d\u0041", r"\ude00", r"\ude00\ud83d"]
    {
        let error = transcode(EVERY, format!(r#"{{"a_string":"{bad}"}}"#).as_bytes())
            .unwrap_err();
        assert_eq!(
            error,
            "the JSON is malformed: half of a surrogate pair in a string (byte 13)"
        );
    }
    for control in 0..0x20u8 {
        let json = [br#"{"a_string":""#.as_slice(), &[control], br#""}"#].concat();
        let error = transcode(EVERY, &json).unwrap_err();
        assert_eq!(
            error,
            "the JSON is malformed: a control character in a string (byte 13)"
        );
    }
}

#[test]
fn lengths_are_right_at_every_size() {
    for length in
        [0, 1, 125, 126, 127, 128, 129, 16_381, 16_383, 16_384, 16_385, 2_097_152]
    {
        let text = "x".repeat(length);
        let json = format!(
            r#"{{"a_message":{{"a_message":{{"strings":["{text}"]}}}},"a_int32":1}}"#
        );
        let message = transcode(EVERY, json.as_bytes()).unwrap();
        let expected =
            format!(r#"a_int32:1,a_message{{a_message{{strings:["{text}"]}}}}"#);
        assert!(message.to_text_format() == expected, "{length}");
    }
}

#[test]
fn packed_and_loose_lists_are_written_as_declared() {
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    let bytes = |json: &str| response(schema, json.as_bytes()).unwrap();
    assert_eq!(
        bytes(r#"{"int32s":[1,300,-1]}"#),
        b"\x82\x02\x0d\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    );
    assert_eq!(bytes(r#"{"loose_uint64s":[1,"2"]}"#), b"\xd8\x02\x01\xd8\x02\x02");
    assert_eq!(bytes(r#"{"bools":[]}"#), b"");
}

#[test]
fn values_of_any_shape_are_read_with_null_as_a_value() {
    reads(EVERY, r#"{"a_value":null}"#, "a_value{null_value:NULL_VALUE}");
    reads(
        EVERY,
        r#"{"values":[null,true,"a",1e2,{},[]]}"#,
        "values:[{null_value:NULL_VALUE},{bool_value:true},{string_value:\"a\"},{number_value:100.0},{struct_value{}},{list_value{}}]",
    );
    reads(
        EVERY,
        r#"{"a_list":[9007199254740993,[false]]}"#,
        "a_list{values:[{number_value:9007199254740992.0},{list_value{values:[{bool_value:false}]}}]}",
    );
    reads(
        EVERY,
        r#"{"a_struct":{"":{"k":null}}}"#,
        r#"a_struct{fields:[{key:"",value{struct_value{fields:[{key:"k",value{null_value:NULL_VALUE}}]}}}]}"#,
    );
    refuses(
        EVERY,
        r#"{"a_struct":{"a":1e400}}"#,
        "a_struct: expected a number in the range of a double",
    );
    refuses(EVERY, r#"{"a_struct":1}"#, "a_struct: expected an object, found a number");
    refuses(EVERY, r#"{"a_list":{}}"#, "a_list: expected a list, found an object");
}

#[test]
fn nesting_is_bounded() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(
            "{}{}{}",
            open.repeat(depth - 1),
            if open == "[" { "[]" } else { "{}" },
            close.repeat(depth - 1)
        )
    };
    let error = "is nested deeper than 32 objects and lists, the most that is supported";
    for key in ["a_struct", "a_value"] {
        transcode(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested(r#"{"a":"#, "}", 32)).as_bytes(),
        )
        .unwrap();
        refuses(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested(r#"{"a":"#, "}", 33)),
            &format!("{key}: {error}"),
        );
    }
    for key in ["a_list", "a_value"] {
        transcode(EVERY, format!(r#"{{"{key}":{}}}"#, nested("[", "]", 32)).as_bytes())
            .unwrap();
        refuses(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested("[", "]", 33)),
            &format!("{key}: {error}"),
        );
    }

    // The deepest configuration can be read by those who stop at 100 messages.
    let configuration = nested(r#"{"a":"#, "}", 32);
    let json = format!(r#"{{"data":[{{"configuration":{configuration}}}]}}"#);
    let bytes =
        response(&OURS.contract.rpc(LIST).unwrap().response, json.as_bytes()).unwrap();
    <crate::proto::ListPartnerSharedConnectionsResponse as prost::Message>::decode(
        bytes.as_slice(),
    )
    .unwrap();

    // Messages of the schema count too, alone or around values of any shape.
    let messages = |depth, inner: &str| {
        format!("{}{inner}{}", r#"{"a_message":"#.repeat(depth), "}".repeat(depth))
    };
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    let reads = |json: String| {
        response(schema, json.as_bytes()).map_err(|error| error.to_string())
    };
    transcode(EVERY, messages(100, "{}").as_bytes()).unwrap();
    let error = reads(messages(101, "{}")).unwrap_err();
    assert!(
        error.ends_with(
            ": is nested deeper than 100 messages, the most that is supported"
        ),
        "{error}"
    );
    let structure = format!(r#"{{"a_struct":{}}}"#, nested(r#"{"a":"#, "}", 32));
    transcode(EVERY, messages(4, &structure).as_bytes()).unwrap();
    reads(messages(9, &structure)).unwrap_err();
}

#[test]
fn absurd_nesting_is_refused_at_once() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(100_000);
        refuses(
            LIST,
            format!(r#"{{"x":{deep}"#),
            &format!(
                "the JSON is nested deeper than 100 objects and lists (byte {})",
                5 + 100 * open.len()
            ),
        );
        transcode(
            LIST,
            format!(r#"{{"data":[{{"configuration":{{"a":{deep}"#).as_bytes(),
        )
        .unwrap_err();
        transcode(LIST, deep.as_bytes()).unwrap_err();
    }
    transcode(EVERY, r#"{"a_message":"#.repeat(100_000).as_bytes()).unwrap_err();
    let skipped = format!(r#"{{"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    reads(LIST, &skipped, "");
}

#[test]
fn space_is_read_wherever_json_has_it() {
    let mut spaced = String::new();
    let mut quoted = false;
    for character in PAGE.chars() {
        quoted ^= character == '"';
        if quoted || character == '"' || character.is_alphanumeric() {
            spaced.push(character);
        } else {
            write!(spaced, " \t\r\n{character} \t\r\n").unwrap();
        }
    }
    assert_eq!(transcode(LIST, spaced.as_bytes()), transcode(LIST, PAGE.as_bytes()));
}
