//! The client's metadata that the gateway forwards to Polytomic.
//!
//! Only what is named here is forwarded, after a check.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use uuid::Uuid;

use crate::transcode::Violation;

/// The ID that log lines of one RPC share across services.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The trace that an RPC is part of (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The version of Polytomic's API.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-polytomic-version");

/// Maximum bytes of a client's request ID.
const MAX_REQUEST_ID: usize = 128;

/// Bytes of the shortest credential that is looked for in other metadata.
const LEAST_CREDENTIAL: usize = 8;

/// What proxies and programs write in place of an ID that they do not have, without
/// punctuation: `-`, `n/a`, `not-set`.
const PLACEHOLDERS: [&str; 15] = [
    "",
    "empty",
    "false",
    "missing",
    "na",
    "nan",
    "nil",
    "none",
    "notset",
    "null",
    "requestid",
    "undefined",
    "unknown",
    "unset",
    "xrequestid",
];

/// What stands around the name of a variable, and in no usual ID.
const BRACKETS: &[u8] = b"{}<>[]()";

/// Returns the client's request ID, or a new one if it has none that is usable.
pub(super) fn request_id(metadata: &HeaderMap) -> HeaderValue {
    client_request_id(metadata).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(Uuid::now_v7().to_string())
            .expect("a UUID is visible ASCII")
    })
}

/// Returns the client's request ID, if it is usable: one value of up to
/// [`MAX_REQUEST_ID`] visible characters that identifies a request.
///
/// Keys are derived from it, so a value that many requests share would merge them. It is
/// logged, so it must not have the client's credential.
pub(super) fn client_request_id(metadata: &HeaderMap) -> Option<&HeaderValue> {
    let mut ids = metadata.get_all(REQUEST_ID).iter();
    let id = ids.next()?;
    let is_alone = ids.next().is_none();
    let is_short = id.len() <= MAX_REQUEST_ID;
    let is_visible = id.as_bytes().iter().all(u8::is_ascii_graphic);
    let is_usable = is_alone
        && is_short
        && is_visible
        && !is_placeholder(id.as_bytes())
        && !has_credential(metadata, id);
    is_usable.then_some(id)
}

/// Reports whether a value has the credential that is sent with it. One of less than
/// [`LEAST_CREDENTIAL`] bytes would occur in others by chance.
pub(super) fn has_credential(metadata: &HeaderMap, value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    metadata.get_all(AUTHORIZATION).iter().any(|authorization| {
        let parts = authorization.as_bytes().split(|byte| b" \t".contains(byte));
        let mut secrets = parts.filter(|part| part.len() >= LEAST_CREDENTIAL);
        secrets.any(|secret| value.windows(secret.len()).any(|part| part == secret))
    })
}

/// Reports whether a value stands for a missing ID: a [placeholder](PLACEHOLDERS), only
/// zeros, eight or more of one character (such as the nil UUID and the largest one), or a
/// variable that was not replaced.
fn is_placeholder(id: &[u8]) -> bool {
    let core = || {
        let letters_and_digits = id.iter().filter(|byte| byte.is_ascii_alphanumeric());
        letters_and_digits.map(u8::to_ascii_lowercase)
    };
    let is_one_character =
        || core().next().is_some_and(|first| core().all(|byte| byte == first));
    PLACEHOLDERS.iter().any(|placeholder| core().eq(placeholder.bytes()))
        || core().all(|byte| byte == b'0')
        || core().count() >= 8 && is_one_character()
        || id.first().is_some_and(|first| b"$%".contains(first))
        || id.iter().any(|byte| BRACKETS.contains(byte))
}

/// Envoy's count of its tries, the first included, if it is configured to count.
const COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// What proxies add to an RPC: Envoy, others, and Linkerd.
const SIGNS_OF_A_PROXY: [&str; 6] = [
    "x-forwarded-proto",
    "x-forwarded-for",
    "x-envoy-expected-rq-timeout-ms",
    "forwarded",
    "via",
    "l5d-client-id",
];

/// Reports whether the RPC was sent before, by a client library or by Envoy.
pub(super) fn is_retry(metadata: &HeaderMap) -> bool {
    is_retry_of_client(metadata) || exceeds(metadata, COUNT, 1)
}

/// Reports whether a proxy may have sent the RPC before without saying so: it forwards
/// the RPC and does not count. Envoy does not count by default.
pub(super) fn may_be_retry(metadata: &HeaderMap) -> bool {
    // One pass: to look a name up takes as long as to read several.
    let has_sign = || metadata.keys().any(|n| SIGNS_OF_A_PROXY.contains(&n.as_str()));
    has_sign() && !metadata.contains_key(COUNT)
}

/// Reports whether a client library sent the RPC before, which it says according to
/// gRFC A6. Each of its tries is a stream of its own.
pub(super) fn is_retry_of_client(metadata: &HeaderMap) -> bool {
    const PREVIOUS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

    exceeds(metadata, PREVIOUS, 0)
}

/// Reports whether metadata has a number above `most`, which may be too long to parse.
/// A proxy may have joined several with commas.
fn exceeds(metadata: &HeaderMap, name: HeaderName, most: u32) -> bool {
    let is_above = |count: &str| {
        let count = count.trim();
        let is_number =
            !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        is_number && count.parse::<u32>().map_or(true, |count| count > most)
    };
    let texts =
        metadata.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(is_above)
}

/// Returns the version of the API that the client requests, if it does.
///
/// # Errors
///
/// If it is not one of those that have the RPC, or is sent twice.
pub(super) fn version(
    metadata: &HeaderMap,
    versions: &[&str],
) -> Result<Option<HeaderValue>, Violation> {
    let Some(requested) = metadata.get(VERSION) else { return Ok(None) };
    let has_rpc = versions.iter().any(|version| requested == version);
    if has_rpc && metadata.get_all(VERSION).iter().nth(1).is_none() {
        return Ok(Some(requested.clone()));
    }
    Err(Violation {
        field: format!("metadata.{VERSION}"),
        description: format!(
            "must be a version of Polytomic's API that has this RPC, sent once: {}",
            versions.join(", ")
        ),
    })
}

/// Returns the ID of the trace that the client's RPC is part of, if the trace is recorded.
pub(super) fn recorded_trace(metadata: &HeaderMap) -> Option<&str> {
    const RECORDED: u8 = 1;

    let parent = metadata.get(TRACEPARENT)?;
    let parent = parent.to_str().ok().filter(|value| is_traceparent(value.as_bytes()))?;
    let flags = u8::from_str_radix(&parent[53..], 16).ok()?;
    (flags & RECORDED != 0).then_some(&parent[3..35])
}

/// Adds the client's trace context (W3C) to the headers of a request.
///
/// An invalid trace context is omitted, as W3C requires: tracing must not fail RPCs.
pub(super) fn copy_trace_context(
    from: &HeaderMap,
    to: &mut Vec<(HeaderName, HeaderValue)>,
) {
    const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

    let Some(parent) =
        from.get(TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()))
    else {
        return;
    };
    to.push((TRACEPARENT, parent.clone()));
    // Several headers are one list, in their order (W3C Trace Context §3.3.1).
    let states: Vec<&[u8]> =
        from.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
    let states = states.join(&b","[..]);
    if let Some(state) = HeaderValue::from_bytes(&states).ok().filter(is_tracestate) {
        to.push((TRACESTATE, state));
    }
}

/// Reports whether the value is `00-<32 hex>-<16 hex>-<2 hex>`, with IDs that are not
/// all zero.
fn is_traceparent(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    let lengths = [version.len(), trace.len(), span.len(), flags.len()];
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    lengths == [2, 32, 16, 2]
        && parts.iter().all(|part| part.iter().all(is_hex))
        && version != b"ff"
        && [trace, span].iter().all(|id| id.iter().any(|byte| *byte != b'0'))
}

/// Reports whether the value is set, short and printable.
fn is_tracestate(value: &HeaderValue) -> bool {
    const MOST: usize = 512;
    let value = value.as_bytes();
    (1..=MOST).contains(&value.len())
        && value.iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn retries_are_recognized_by_their_counts() {
        for (name, count, repeat) in [
            ("grpc-previous-rpc-attempts", "1", true),
            ("grpc-previous-rpc-attempts", "0", false),
            ("grpc-previous-rpc-attempts", "99999999999", true),
            ("x-envoy-attempt-count", "2", true),
            ("x-envoy-attempt-count", "1", false),
            ("x-envoy-attempt-count", "many", false),
            ("x-envoy-attempt-count", "1, 2", true),
            ("x-envoy-attempt-count", "1,1", false),
            ("grpc-previous-rpc-attempts", "0,1", true),
        ] {
            let metadata = map(&[(name, count)]);
            assert_eq!(is_retry(&metadata), repeat, "{name}: {count}");
            let is_client = repeat && name == "grpc-previous-rpc-attempts";
            assert_eq!(is_retry_of_client(&metadata), is_client, "{name}: {count}");
        }
        assert!(!is_retry(&HeaderMap::new()));
    }

    #[test]
    fn a_proxy_that_does_not_count_may_retry() {
        assert!(!may_be_retry(&HeaderMap::new()));
        assert!(!may_be_retry(&map(&[("x-request-id", "r"), ("traceparent", "t")])));
        for sign in SIGNS_OF_A_PROXY {
            assert!(may_be_retry(&map(&[(sign, "1")])), "{sign}");
            let counted = map(&[(sign, "1"), ("x-envoy-attempt-count", "1")]);
            assert!(!may_be_retry(&counted), "{sign}");
        }
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_usable() {
        let longest = "xy".repeat(64);
        for good in ["a/b:c-1", "1", "aaaa", "r-0", "nil-1", "Unknown-2", &longest] {
            assert_eq!(request_id(&map(&[("x-request-id", good)])), good);
        }
        let long = "x".repeat(129);
        let unfit = ["", "two words", "tab\tbed", "\u{e9}t\u{e9}", &long];
        let placeholders = [
            "-",
            "--",
            "null",
            "(null)",
            "NULL",
            "<nil>",
            "None",
            "undefined",
            "unknown",
            "NaN",
            "n/a",
            "00000000-0000-0000-0000-000000000000",
            "$request_id",
            "${request_id}",
            "%REQ(X-REQUEST-ID)%",
            "{request_id}",
            "#{id}",
            "<request_id>",
            "[id]",
            "unset",
            "not-set",
            "X-Request-ID",
            "REQUEST_ID",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "xxxxxxxx",
        ];
        for bad in unfit.into_iter().chain(placeholders) {
            let metadata = map(&[("x-request-id", bad)]);
            assert_eq!(client_request_id(&metadata), None, "{bad:?}");
            assert_eq!(request_id(&metadata).len(), 36, "{bad:?}");
        }
        let mut twice = map(&[("x-request-id", "r-1")]);
        twice.append("x-request-id", "r-1".parse().unwrap());
        assert_eq!(client_request_id(&twice), None);
        assert_eq!(request_id(&HeaderMap::new()).len(), 36);
    }

    #[test]
    fn a_credential_is_no_request_id() {
        for (authorization, id, is_usable) in [
            ("Bearer pk_live-1", "pk_live-1", false),
            ("bearer  pk_live-1", "pk_live-1", false),
            ("Bearer pk_live-1", "call-pk_live-1-7", false),
            ("pk_live-1", "pk_live-1", false),
            ("Bearer pk_live-1", "pk_live-2", true),
            ("Bearer abc", "abc-7", true),
            ("Bearer", "Bearer-7", true),
            ("", "r-1", true),
        ] {
            let metadata = map(&[("authorization", authorization), ("x-request-id", id)]);
            assert_eq!(client_request_id(&metadata).is_some(), is_usable, "{id}");
        }
    }

    #[test]
    fn only_versions_that_have_the_rpc_are_accepted() {
        let versions = ["2025-09-18", "2023-04-25"];
        for version_name in versions {
            let metadata = map(&[("x-polytomic-version", version_name)]);
            assert_eq!(version(&metadata, &versions).unwrap().unwrap(), version_name);
        }
        assert_eq!(version(&HeaderMap::new(), &versions), Ok(None));
        let mut twice = map(&[("x-polytomic-version", versions[0])]);
        twice.append("x-polytomic-version", versions[0].parse().unwrap());
        for bad in ["", "latest", "2025-09-18 ", "2099-01-01", "2024-02-08"]
            .map(|bad| map(&[("x-polytomic-version", bad)]))
            .into_iter()
            .chain([twice])
        {
            let violation = version(&bad, &versions).unwrap_err();
            assert_eq!(
                violation.description,
                "must be a version of Polytomic's API that has this RPC, sent once: \
                 2025-09-18, 2023-04-25",
                "{bad:?}"
            );
        }
    }

    fn copied(from: &HeaderMap) -> HeaderMap {
        let mut to = Vec::new();
        copy_trace_context(from, &mut to);
        to.into_iter().collect()
    }

    #[test]
    fn a_valid_trace_context_is_copied() {
        let to = copied(&map(&[("traceparent", PARENT), ("tracestate", "a=b,c=d")]));
        assert_eq!(to, map(&[("traceparent", PARENT), ("tracestate", "a=b,c=d")]));
    }

    #[test]
    fn trace_is_that_of_a_recorded_parent() {
        let trace = |parent: &str| {
            recorded_trace(&map(&[("traceparent", parent)])).map(str::to_owned)
        };
        assert_eq!(trace(PARENT).as_deref(), Some(&PARENT[3..35]));
        for other in [PARENT.replace("-01", "-00"), PARENT.to_uppercase(), String::new()]
        {
            assert_eq!(trace(&other), None, "{other}");
        }
    }

    #[test]
    fn several_tracestates_are_joined_in_their_order() {
        let mut from = map(&[("traceparent", PARENT), ("tracestate", "a=b,c=d")]);
        from.append("tracestate", HeaderValue::from_static("e=f"));
        assert_eq!(
            copied(&from),
            map(&[("traceparent", PARENT), ("tracestate", "a=b,c=d,e=f")])
        );

        from.append("tracestate", HeaderValue::try_from("s".repeat(505)).unwrap());
        assert_eq!(copied(&from), map(&[("traceparent", PARENT)]), "too long in all");
    }

    #[test]
    fn an_invalid_trace_context_is_omitted() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let upper = PARENT.to_uppercase();
        for bad in ["", "00", zero, &upper, &PARENT[1..], &format!("{PARENT}-x")] {
            let to = copied(&map(&[("traceparent", bad), ("tracestate", "a=b")]));
            assert!(to.is_empty(), "{bad:?}");
        }
        let long = "s".repeat(513);
        let to = copied(&map(&[("traceparent", PARENT), ("tracestate", &long)]));
        assert_eq!(to, map(&[("traceparent", PARENT)]));
    }
}
