//! JSON syntax.

use std::fmt::Write as _;

use super::*;

#[test]
fn unknown_keys_are_skipped_but_must_be_json() {
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
        r"{,}",
        r#"{"x":1,}"#,
        r#"{"x":1 "y":2}"#,
        r#"{"x"::1}"#,
        r#"{"a_int32":1}}"#,
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
fn malformed_json_is_rejected_with_the_byte() {
    rejects(LIST, "", "the JSON ends early (byte 0)");
    rejects(LIST, r#"{"data":["#, "the JSON ends early (byte 9)");
    rejects(LIST, r#"{"data":[]"#, "the JSON ends early (byte 10)");
    rejects(LIST, r#"{"data":[]} ]"#, "the JSON has more text after its end (byte 12)");
    rejects(LIST, b"{\"x\":\"\xff\"}", "the JSON is not UTF-8 (byte 6)");
    rejects(LIST, b"{\"\xed\xa0\x80\":1}", "the JSON is not UTF-8 (byte 2)");
    rejects(
        LIST,
        r#"{"data"[]}"#,
        "the JSON is malformed: expected a colon after a key (byte 7)",
    );
    rejects(
        LIST,
        r#"{"data":[{},]}"#,
        "the JSON is malformed: expected a value (byte 12)",
    );
    rejects(
        LIST,
        r"{data:[]}",
        "the JSON is malformed: expected a key in quotes (byte 1)",
    );
    let comma = "the JSON is malformed: expected a comma or the end of the object or list (byte 11)";
    rejects(LIST, r#"{"data":[{}{}]}"#, comma);
    rejects(
        LIST,
        "{\"a\tb\":1}",
        "the JSON is malformed: a control character in a string (byte 3)",
    );
}

#[test]
fn escape_cut_short_is_an_early_end() {
    for json in [r#"{"x":"\"#, r#"{"x":"\ud8"#, r#"{"x":"\ud83d"#, r#"{"x":"\ud83d\"#] {
        rejects(LIST, json, &format!("the JSON ends early (byte {})", json.len()));
    }
}

#[test]
fn response_cut_short_at_any_byte_is_rejected() {
    for end in 0..PAGE.len() {
        rejects(LIST, &PAGE[..end], &format!("the JSON ends early (byte {end})"));
    }
}

#[test]
fn escapes_are_read_at_each_position() {
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
fn nesting_is_bounded() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(
            "{}{}{}",
            open.repeat(depth - 1),
            if open == "[" { "[]" } else { "{}" },
            close.repeat(depth - 1)
        )
    };
    let error = "is nested deeper than 32 objects and lists, the supported maximum";
    for key in ["a_struct", "a_value"] {
        transcode(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested(r#"{"a":"#, "}", 32)).as_bytes(),
        )
        .unwrap();
        rejects(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested(r#"{"a":"#, "}", 33)),
            &format!("{key}: {error}"),
        );
    }
    for key in ["a_list", "a_value"] {
        transcode(EVERY, format!(r#"{{"{key}":{}}}"#, nested("[", "]", 32)).as_bytes())
            .unwrap();
        rejects(
            EVERY,
            format!(r#"{{"{key}":{}}}"#, nested("[", "]", 33)),
            &format!("{key}: {error}"),
        );
    }

    // Readers that stop at 100 messages can read the deepest configuration.
    let configuration = nested(r#"{"a":"#, "}", 32);
    let json = format!(r#"{{"data":[{{"configuration":{configuration}}}]}}"#);
    let bytes = response(
        &OURS.contract.rpc(LIST).unwrap().response,
        json.as_bytes(),
        16 * json.len(),
    )
    .unwrap();
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
        response(schema, json.as_bytes(), 16 * json.len())
            .map_err(|error| error.to_string())
    };
    transcode(EVERY, messages(100, "{}").as_bytes()).unwrap();
    let error = reads(messages(101, "{}")).unwrap_err();
    assert!(
        error.ends_with(": is nested deeper than 100 messages, the supported maximum"),
        "{error}"
    );
    let structure = format!(r#"{{"a_struct":{}}}"#, nested(r#"{"a":"#, "}", 32));
    transcode(EVERY, messages(4, &structure).as_bytes()).unwrap();
    reads(messages(9, &structure)).unwrap_err();
}

#[test]
fn absurd_nesting_is_rejected_early() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(100_000);
        rejects(
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
    let skipped =
        format!(r#"{{"x":{}{},"data":null}}"#, "[".repeat(100), "]".repeat(100));
    reads(LIST, &skipped, "");
}

#[test]
fn white_space_is_read_where_json_allows_it() {
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
