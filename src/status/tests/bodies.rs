//! Every shape of an error body, and the parts that reach the client.

use super::*;

/// Returns Polytomic's message as kept from a body.
fn kept(body: &[u8]) -> Option<String> {
    let response = ErrorResponse::new(
        StatusCode::BAD_GATEWAY,
        &HeaderMap::new(),
        body,
        &str::to_owned,
    );
    response.message().map(str::to_owned)
}

#[test]
fn message_is_found_in_every_shape() {
    let cases = [
        (r#"{"key":"k","message":"current","status":404,"metadata":{}}"#, "current"),
        (r#"{"message":"alone"}"#, "alone"),
        (
            r#"{"error":{"message":"invalid or unknown API key"}}"#,
            "invalid or unknown API key",
        ),
        (r#"{"error":"partner key required"}"#, "partner key required"),
        (r#"{"message":"old","status_code":401,"metadata":[{"a":1}]}"#, "old"),
        (r#"{"message":7,"error":{"message":"second choice"}}"#, "second choice"),
        (r#"{"message":"","error":"third"}"#, "third"),
        (r#"{"title":"Bad","detail":"a problem","status":400}"#, "a problem"),
        (r#"{"error":{"detail":"a problem","code":7}}"#, "a problem"),
        (r#"{"errors":"only one"}"#, "only one"),
        (r#"{"errors":["one","","two"]}"#, "one; two"),
        (r#"{"errors":[{"message":"one"},{"detail":"two"},{"x":1},7]}"#, "one; two"),
        (
            r#"{"errors":{"name":["is taken","x"],"id":"is bad"}}"#,
            "name: is taken; id: is bad",
        ),
        (r#"{"errors":{"https://app.polytomic.com/a":"is bad"}}"#, "linkremoved: is bad"),
        (r#"{"message":"first","detail":"b","errors":["c"]}"#, "first"),
        (r#"{"extra":[1,{"a":null}],"message":"  two\n lines\t"}"#, "two lines"),
        (
            r#"{"message":"see https://app.polytomic.com/a?b=c please"}"#,
            "see (link removed) please",
        ),
        (r#"{"message":"bad Bearer abc123\u202e"}"#, "bad Bearer (removed)"),
        (r#"{"message":"\ud83d\ude00 ok"}"#, "😀 ok"),
    ];
    for (body, message) in cases {
        assert_eq!(kept(body.as_bytes()).as_deref(), Some(message), "{body}");
    }
}

#[test]
fn text_in_another_format_is_not_quoted() {
    let deep = [b"{\"error\":".repeat(50_000), b"1".to_vec()].concat();
    let cases: [&[u8]; 14] = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\"a bare string\"",
        b"plain text with a secret",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        br#"{"message":"<html><body>nested page</body></html>"}"#,
        br#"{"message":["wrong"],"key":{"wrong":1},"status":"x","metadata":5,"error":true}"#,
        br#"{"message":"cut sho"#,
        b"{\"message\":\"\xff\xfe\"}",
        br#"{"message":"\ud800"}"#,
        br#"{"message":"\u0000\u0007\u200b"}"#,
        &deep,
    ];
    for body in cases {
        assert_eq!(kept(body), None, "{:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn status_without_a_message_has_a_text() {
    let message = |status, body, context| {
        translated(responded(status, body), &context).message().to_owned()
    };
    assert_eq!(
        message(503, "", retried()),
        "Polytomic responded with 503 Service Unavailable. The fault is Polytomic's or that \
         of a proxy in front of it. Retrying after 1 s is safe."
    );
    assert_eq!(
        message(502, "<html>nginx</html>", retried()),
        "Polytomic responded with 502 Bad Gateway, not in Polytomic's error format: a proxy \
         may have sent it. The fault is Polytomic's or that of a proxy in front of it. \
         Retrying is safe."
    );
    assert_eq!(
        message(302, "", list()),
        "Polytomic responded with 302 Found. The gateway follows no redirects, which could \
         leak credentials. Its operator should check the upstream URL. Retrying unchanged \
         will not help."
    );
    let unknown = message(777, "{}", list());
    assert!(unknown.starts_with("Polytomic responded with 777. The gateway does not"));
}

#[test]
fn long_message_is_cut_before_the_advice() {
    let body = format!(
        r#"{{"message":"{}","padding":"{}"}}"#,
        "ä".repeat(3000),
        "x".repeat(1 << 20)
    );
    let status = translated(responded(404, &body), &list());
    assert!(status.message().len() <= message::MESSAGE);
    assert!(status.message().contains("äää"));
    assert!(status.message().contains("… It may have moved"));
    assert!(status.message().ends_with("unchanged will not help."));
}

#[test]
fn only_listed_metadata_of_polytomic_reaches_the_details() {
    let body = r#"{"key":"in use!","message":"connection in use","status":422,"metadata":{
        "used_by":[{"type":"model","name":"Orders","id":"m-1"},{"type":"sync","name":"Nightly"}],
        "resource_id":"o-1","limit":5,"code":true,"reason":null,"type":{"no":"object"},
        "thing_id":"248DF4B7-aa70-47b8-a036-33ac447e668d","session_id":"hidden",
        "Odd id":"248df4b7-aa70-47b8-a036-33ac447e668d",
        "configuration":"hidden","token":"hidden"}}"#;
    let metadata = metadata(&translated(responded(422, body), &list()));
    let upstream: Vec<_> =
        metadata.iter().filter(|(name, _)| name.starts_with("upstream")).collect();
    let expected = [
        ("upstreamCode", "true"),
        ("upstreamKey", "inuse"),
        ("upstreamLimit", "5"),
        ("upstreamResourceId", "o-1"),
        ("upstreamThingId", "248df4b7-aa70-47b8-a036-33ac447e668d"),
        ("upstreamUsedBy", "model Orders (m-1); sync Nightly ()"),
    ];
    assert_eq!(upstream.len(), expected.len(), "{upstream:?}");
    for (name, value) in expected {
        assert_eq!(metadata[name], value);
    }
}

#[test]
fn list_of_users_is_bounded() {
    let user = r#"{"type":"model","name":"a name of some length","id":"id"}"#;
    let users = vec![user; 1000].join(",");
    let body = format!(r#"{{"metadata":{{"used_by":[{users}]}}}}"#);
    let metadata = metadata(&translated(responded(422, &body), &list()));
    assert!(metadata["upstreamUsedBy"].len() <= 224);
    let short = [r#"{"id":"1"}"#; 9].join(",");
    let body = format!(r#"{{"metadata":{{"used_by":[{short}]}}}}"#);
    let metadata = super::metadata(&translated(responded(422, &body), &list()));
    assert!(metadata["upstreamUsedBy"].ends_with("; and more"), "{metadata:?}");
}

#[test]
fn invalid_fields_become_violations() {
    let cases = [
        (r#"{"field":"name"}"#, vec![("name", "was rejected by Polytomic")]),
        (
            r#"{"fields":["org_id","name"]}"#,
            vec![
                ("org_id", "was rejected by Polytomic"),
                ("name", "was rejected by Polytomic"),
            ],
        ),
        (
            r#"{"errors":{"name":["is taken","x"],"org_id":"is not a UUID"}}"#,
            vec![("name", "is taken"), ("org_id", "is not a UUID")],
        ),
        (
            r#"{"errors":[{"field":"name","message":"is at https://x.y"}]}"#,
            vec![("name", "is at (link removed)")],
        ),
        (
            r#"{"fields":[7,"",null,"<b>"],"field":{}}"#,
            vec![("b", "was rejected by Polytomic")],
        ),
        (r#"{"connection_id":"248df4b7"}"#, vec![]),
    ];
    for status in [400, 422] {
        for (metadata, expected) in &cases {
            let body = format!(r#"{{"message":"invalid","metadata":{metadata}}}"#);
            let status = translated(responded(status, &body), &list());
            let found = status.get_details_bad_request().map(|bad| bad.field_violations);
            let found = found.unwrap_or_default();
            let found: Vec<_> = found
                .iter()
                .map(|v| (v.field.as_str(), v.description.as_str()))
                .collect();
            assert_eq!(&found, expected, "{metadata}");
        }
    }
}

#[test]
fn failed_precondition_names_polytomics_key() {
    let body = r#"{"key":"refresh_in_progress","message":"cache refresh in progress"}"#;
    let status = translated(responded(412, body), &list());
    let failure = status.get_details_precondition_failure().unwrap();
    assert_eq!(failure.violations[0].r#type, "refresh_in_progress");
    assert_eq!(failure.violations[0].subject, THING.1);
    assert_eq!(failure.violations[0].description, "cache refresh in progress");
}

#[test]
fn request_id_of_polytomic_is_returned_without_other_characters() {
    let failure = responded_with(500, &[("x-request-id", "req 1<\"2>")], "");
    assert_eq!(metadata(&translated(failure, &list()))["upstreamRequestId"], "req12");
}

#[test]
fn a_secret_is_removed_before_a_text_is_cut_or_stripped() {
    let redact = |text: &str| text.replace("se/cret", "***");
    let long = "x".repeat(1020);
    let body = format!(
        r#"{{"key":"se/cret","message":"{long}se\\u002fcret","metadata":{{"field":"a.se/cret",
            "reason":"s\u200be/cret","used_by":[{{"id":"se/cret"}}],
            "errors":{{"b.se/cret":"is se/cret"}}}}}}"#
    )
    .replace("\\\\u002f", "\\u002f");
    let headers = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("r-se/cret"),
    )]);
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let response = ErrorResponse::new(status, &headers, body.as_bytes(), &redact);
    let shown = format!("{response:?}");
    assert!(shown.contains("***"), "{shown}");
    for part in ["se/cret", "secret", "se/", "cret"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
}
