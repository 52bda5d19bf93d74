//! Properties of every status, body, header and context.

use http::{HeaderName, header::HeaderMap};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::grpc::Error as Grpc;

/// What gRPC clients accept in trailers.
const TRAILERS: usize = 8 * 1024;

/// Bytes of all details before their base64 form.
const DETAILS: usize = 4096;

/// Counts trailers as HTTP/2 does: name, value and 32 for each (RFC 9113 §6.5.2).
fn trailers(status: &Status) -> usize {
    let headers = status.clone().into_http::<tonic::body::Body>().headers().clone();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|c| {
        let is_hidden = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e007f}');
        !c.is_control() && !is_hidden
    })
}

fn check(status: &Status) {
    assert_ne!(status.code(), Code::Ok);
    assert!(!status.message().is_empty());
    assert!(status.message().len() <= message::MESSAGE, "{}", status.message().len());
    assert!(is_printable(status.message()), "{:?}", status.message());
    assert!(!status.message().contains("://"), "{:?}", status.message());
    assert!(!status.message().contains("canary"), "{:?}", status.message());
    assert!(status.details().len() <= DETAILS, "{}", status.details().len());
    assert!(trailers(status) <= TRAILERS - 256, "{}", trailers(status));
    extra_details(&status.check_error_details().unwrap());
    for (key, value) in metadata(status) {
        assert!(
            key.len() <= 64 && key.starts_with(|c: char| c.is_ascii_lowercase()),
            "{key}"
        );
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
        assert!(is_printable(&value), "{value:?}");
    }
}

/// Text that may contain what clients must not see.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        Just("https://app.polytomic.com/canary?x=1".to_owned()),
        Just("ht\u{200b}tps://canary.example/".to_owned()),
        Just(" Bearer canary.abc".to_owned()),
        Just("\u{202e}\u{1b}[31m\r\n\0".to_owned()),
        Just("語".repeat(600)),
        Just("% <>".repeat(300)),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// JSON of any shape, with the names that are looked for.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "key",
            "message",
            "metadata",
            "error",
            "errors",
            "field",
            "fields",
            "used_by",
            "type",
            "name",
            "id",
            "reason",
            "organization_id",
            "connection_id",
            "resource",
        ])
        .prop_map(str::to_owned),
        text(),
    ];
    let leaf = prop_oneof![
        text().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(serde_json::Value::from),
            vec((name.clone(), inner), 0..8).prop_map(|members| {
                serde_json::Value::Object(members.into_iter().collect())
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..2000),
        json().prop_map(|json| json.to_string().into_bytes()),
        (text(), text(), json()).prop_map(|(key, message, metadata)| {
            serde_json::json!({ "key": key, "message": message, "metadata": metadata })
                .to_string()
                .into_bytes()
        }),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    prop::sample::select(vec![
        Retry::Never,
        Retry::Safe,
        Retry::ByClient,
        Retry::SameKey,
        Retry::ReturnedKey,
        Retry::SameKeyOnceFixed,
        Retry::ListThenNewKey,
    ])
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(vec![
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset",
        "x-request-id",
    ]);
    let value =
        prop_oneof![vec(any::<u8>(), 0..300), "[0-9]{1,30}".prop_map(String::into_bytes)];
    vec((name, value), 0..8).prop_map(|pairs| {
        let valid = pairs.into_iter().filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?))
        });
        valid.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_response_becomes_a_clean_and_bounded_status(
        number in 100_u16..1000,
        headers in headers(),
        body in body(),
        safe: bool,
        retry in retry(),
        draw: u64,
    ) {
        let status = StatusCode::from_u16(number).unwrap();
        let response = ErrorResponse::new(status, &headers, &body, &str::to_owned);
        let status = translate::status(
            Failure::ErrorResponse(Box::new(response)),
            &Context { retry, ..context(safe) },
            draw,
        );
        check(&status);
        prop_assert_ne!(status.code(), Code::Cancelled);
        prop_assert_eq!(status.code() == Code::OutOfRange, number == 416);
        if let Some(delay) = status.get_details_retry_info() {
            prop_assert!(delay.retry_delay.unwrap() <= Duration::from_secs(315_576_000_000));
        }
    }

    #[test]
    fn any_local_failure_becomes_a_clean_and_bounded_status(
        what in text(),
        fields in vec((text(), text()), 0..12),
        id in text(),
        key in "\\PC{0,300}",
        resource in (text(), text()),
        api_version in text(),
        millis: u64,
        safe: bool,
        retry in retry(),
    ) {
        let fields = fields.into_iter();
        let fields = fields.map(|(field, description)| Violation { field, description });
        let context = Context {
            idempotency_key: Some(&key),
            resource: Some((&resource.0, &resource.1)),
            fingerprint: Some(&resource.1),
            api_version: &api_version,
            retry,
            ..Context { request_id: &id, ..context(safe) }
        };
        let wait = Duration::from_millis(millis);
        for failure in [
            Failure::from(RequestError::Invalid(fields.collect())),
            RequestError::Malformed(what.clone()).into(),
            Grpc::Malformed(what.clone()).into(),
            Upstream::CircuitOpen { circuit: Circuit::All, retry_after: wait }.into(),
            Upstream::Reset(what.into()).into(),
        ] {
            let is_cancelled = failure.code(safe) == Code::Cancelled;
            prop_assert!(!is_cancelled);
            check(&translate::status(failure, &context, millis));
        }
    }
}

#[test]
fn largest_texts_fit_into_the_trailers() {
    let long = "x".repeat(1 << 17);
    let wide = "語".repeat(1 << 15);
    let names =
        ["reason", "code", "field", "param", "type", "resource", "resource_id", "limit"];
    for text in [&long, &wide] {
        let mut metadata: serde_json::Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), text.as_str().into())).collect();
        let fields = vec![serde_json::json!({ "field": long, "message": text }); 4];
        metadata.insert("errors".to_owned(), fields.into());
        let user = serde_json::json!({ "type": text, "name": text, "id": text });
        metadata.insert("used_by".to_owned(), vec![user; 4].into());
        let body =
            serde_json::json!({ "key": long, "message": text, "metadata": metadata });
        let body = body.to_string();
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_str(&long[..4000]).unwrap());
        let key = "k".repeat(300);
        let longest = link(&wide[..99], &format!("https://{}", &long[..248]));
        let options = Options {
            key_class: KeyClass::Partner,
            reference: Some(longest.clone()),
            not_found: Some(NotFound {
                hint: format!("{}.", &wide[..198]),
                help: Some(longest),
            }),
            ..Options::NONE.clone()
        };
        let context = Context {
            options: &options,
            outcome: Outcome::Unknown,
            retry: Retry::ListThenNewKey,
            idempotency_key: Some(&key),
            request_id: &long,
            resource: Some((&long, text)),
            fingerprint: Some(text),
            api_version: &long,
            attempts: u32::MAX,
            ..create()
        };
        // One of each kind of row.
        for number in
            [101, 200, 302, 400, 401, 404, 409, 412, 413, 426, 429, 500, 502, 777]
        {
            let status = StatusCode::from_u16(number).unwrap();
            let response =
                ErrorResponse::new(status, &headers, body.as_bytes(), &str::to_owned);
            check(&Failure::ErrorResponse(Box::new(response)).into_status(&context));
        }
    }
}

#[test]
fn every_status_has_an_error_code() {
    for number in 100..1000 {
        for safe in [true, false] {
            let failure = responded(number, "");
            let code = failure.code(safe);
            assert!(!matches!(code, Code::Ok | Code::Cancelled), "{number}");
            assert_eq!(code == Code::OutOfRange, number == 416, "{number}");
            assert!(!matches!(code, Code::AlreadyExists | Code::DataLoss), "{number}");
        }
    }
}
