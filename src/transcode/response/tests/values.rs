//! The values of each type.

use proptest::prelude::*;

use super::*;

#[test]
fn integers_are_read_in_each_form_within_range() {
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
fn floats_are_read_with_special_words_within_range() {
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
    rejects(EVERY, r#"{"a_float":1e39}"#, "a_float: expected a float");
}

#[test]
fn bytes_are_base64_in_either_alphabet_padded_or_not() {
    for json in ["-_8=", "-_8", "+/8=", "+/8", "\\u002b\\/8"] {
        reads(EVERY, &format!(r#"{{"a_bytes":"{json}"}}"#), r#"a_bytes:"\373\377""#);
    }
    reads(EVERY, r#"{"byteses":["","AA=="]}"#, r#"byteses:["","\000"]"#);
    for json in ["A", "A===", "AA=A", "A A=", "Aé==", "-/8="] {
        rejects(
            EVERY,
            format!(r#"{{"a_bytes":"{json}"}}"#),
            "a_bytes: expected bytes in base64",
        );
    }
}

#[test]
fn lengths_are_right_at_each_size() {
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
fn lists_are_packed_as_declared() {
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    let bytes = |json: &str| response(schema, json.as_bytes(), 16 * json.len()).unwrap();
    assert_eq!(
        bytes(r#"{"int32s":[1,300,-1]}"#),
        b"\x82\x02\x0d\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    );
    assert_eq!(bytes(r#"{"loose_uint64s":[1,"2"]}"#), b"\xd8\x02\x01\xd8\x02\x02");
    assert_eq!(bytes(r#"{"bools":[]}"#), b"");
}

#[test]
fn null_is_a_value_of_any_shape() {
    reads(EVERY, r#"{"a_value":null}"#, "a_value{null_value:NULL_VALUE}");
    reads(EVERY, r#"{"values":null,"lists":null}"#, "");
    reads(
        EVERY,
        r#"{"values":[null,true,"a",1e2,{},[]]}"#,
        "values:[{null_value:NULL_VALUE},{bool_value:true},{string_value:\"a\"},{number_value:100.0},{struct_value{}},{list_value{}}]",
    );
    reads(
        EVERY,
        r#"{"a_list":[9007199254740993,[false]]}"#,
        r#"a_list{values:[{string_value:"9007199254740993"},{list_value{values:[{bool_value:false}]}}]}"#,
    );
    reads(
        EVERY,
        r#"{"a_struct":{"":{"k":null}}}"#,
        r#"a_struct{fields:[{key:"",value{struct_value{fields:[{key:"k",value{null_value:NULL_VALUE}}]}}}]}"#,
    );
    rejects(EVERY, r#"{"a_struct":1}"#, "a_struct: expected an object, found a number");
    rejects(EVERY, r#"{"a_list":{}}"#, "a_list: expected a list, found an object");
}

#[test]
fn number_of_any_shape_is_a_double_unless_that_changes_an_integer() {
    for (json, double) in [
        ("0", "0.0"),
        ("-0", "-0.0"),
        ("1.0", "1.0"),
        ("0.1", "0.1"),
        ("9007199254740992", "9007199254740992.0"),
        ("-9007199254740992.00", "-9007199254740992.0"),
        ("9007199254740994", "9007199254740994.0"),
        ("9223372036854775808", "9223372036854775808.0"),
        ("100000000000000000000", "100000000000000000000.0"),
        // Not integers, or written as programs write doubles: the nearest one.
        ("1e23", "99999999999999991611392.0"),
        ("9007199254740993e0", "9007199254740992.0"),
        ("0.33333333333333333333", "0.3333333333333333"),
        ("12345678901234567890.5", "12345678901234567168.0"),
        ("1e-400", "0.0"),
    ] {
        let text = format!("a_value{{number_value:{double}}}");
        reads(EVERY, &format!(r#"{{"a_value":{json}}}"#), &text);
    }
    for json in [
        "9007199254740993",
        "-9007199254740993",
        "9007199254740993.0",
        "999999999999999999",
        "1234567890123456789",
        "9223372036854775807",
        "18446744073709551615",
        "100000000000000000000000",
        // Out of the range of a double.
        "1e400",
        "-1E+400",
        &"9".repeat(400),
    ] {
        let text = format!(r#"a_value{{string_value:"{json}"}}"#);
        reads(EVERY, &format!(r#"{{"a_value":{json}}}"#), &text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_integer_of_any_shape_changes(
        magnitude: u128, down in 0..128_u32, up in 0..128_u32, sign in "-?", zeros in "(\\.0+)?",
    ) {
        // Many bits and few, with and without zeros at the end.
        let integer = (magnitude >> down) << up;
        let json = format!("{sign}{integer}{zeros}");
        let message = transcode(EVERY, format!(r#"{{"a_value":{json}}}"#).as_bytes());
        let value = message.unwrap().get_field_by_name("a_value").unwrap().into_owned();
        let value = value.as_message().unwrap();
        // A double has 53 bits from its first to its last one.
        let is_held = integer == 0 || integer >> integer.trailing_zeros() < 1 << 53;
        if is_held {
            let double = value.get_field_by_name("number_value").unwrap().as_f64().unwrap();
            prop_assert_eq!(format!("{double:.0}"), format!("{sign}{integer}"));
        } else {
            let text = value.get_field_by_name("string_value").unwrap().into_owned();
            prop_assert_eq!(text.as_str(), Some(&*json));
        }
    }
}
