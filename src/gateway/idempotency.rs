//! The key that makes repeating a create harmless.
//!
//! Polytomic records the first outcome of a POST under its `Idempotency-Key`
//! and replays it for at least 24 hours. So every POST carries one, and a
//! caller, a mesh or this gateway may repeat it without a second share.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::metadata::{REQUEST_ID, is_repeat};
use crate::{contract::Rpc, transcode::Violation};

/// The metadata in which a caller gives a key, and is told the key used.
pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// What keys derived here are unique within: an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_93a5_1c5e_4f3b_9d38_70c1_8f2a_be57);

/// What is told of a repeat that Polytomic would not know as one.
const REPEATED: &str = "must be there, or an `x-request-id`, when a call is sent again";

/// The key of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) value: HeaderValue,
    /// Whether the RPC has the same key when it is sent again as it is.
    pub(super) lasts: bool,
}

/// Returns the key of a create: the caller's own; else one derived from the
/// caller's `x-request-id`, which proxies keep when they send an RPC again;
/// else a fresh one.
///
/// # Errors
///
/// If the caller's own key is not of the form that Polytomic takes, or if the RPC
/// was sent before and a fresh key would have it take effect again.
pub(super) fn key(
    metadata: &HeaderMap,
    rpc: &Rpc,
    message: &[u8],
) -> Result<Key, Violation> {
    let lasting = |value| Key { value, lasts: true };
    if metadata.contains_key(HEADER) {
        if let Some(given) = given(metadata) {
            return Ok(lasting(given.clone()));
        }
        return Err(Violation {
            field: format!("metadata.{HEADER}"),
            description: "must be one value of 8 to 255 letters, digits, `_` and `-`"
                .to_owned(),
        });
    }
    // The caller's id as it was sent: an id made up here is no sign of a repeat.
    let Some(request_id) = metadata.get(REQUEST_ID) else {
        if is_repeat(metadata) {
            return Err(Violation {
                field: format!("metadata.{HEADER}"),
                description: REPEATED.to_owned(),
            });
        }
        return Ok(Key { value: header_value(Uuid::new_v4()), lasts: false });
    };
    let path = rpc.path();
    let mut name = Vec::with_capacity(path.len() + message.len() + 64);
    // Lengths keep two different lists of parts from reading alike.
    for part in [request_id.as_bytes(), path.as_bytes(), message] {
        name.extend_from_slice(&(part.len() as u64).to_le_bytes());
        name.extend_from_slice(part);
    }
    Ok(lasting(header_value(Uuid::new_v5(&NAMESPACE, &name))))
}

/// Returns the caller's own key, if it is of the form that Polytomic takes.
pub(super) fn given(metadata: &HeaderMap) -> Option<&HeaderValue> {
    let is_alone = metadata.get_all(HEADER).iter().nth(1).is_none();
    metadata.get(HEADER).filter(|key| is_alone && is_valid(key.as_bytes()))
}

fn is_valid(key: &[u8]) -> bool {
    (8..=255).contains(&key.len())
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

fn header_value(uuid: Uuid) -> HeaderValue {
    HeaderValue::try_from(uuid.to_string()).expect("a UUID is visible ASCII")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::contract::{Contract, DESCRIPTOR_SET};

    fn key_of(
        metadata: &[(&str, &str)],
        rpc: &str,
        message: &[u8],
    ) -> Result<String, Violation> {
        let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
        let rpc = contract.rpcs().find(|candidate| candidate.name == rpc).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in metadata {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        key(&headers, rpc, message).map(|key| key.value.to_str().unwrap().to_owned())
    }

    const CREATE: &str = "CreatePartnerSharedConnection";

    #[test]
    fn a_callers_own_key_goes_before_its_request_id() {
        let metadata = [("idempotency-key", "my-own_key-1"), ("x-request-id", "r")];
        assert_eq!(key_of(&metadata, CREATE, b"m").unwrap(), "my-own_key-1");
    }

    #[test]
    fn a_key_of_another_form_is_refused() {
        let long = "k".repeat(256);
        for bad in [
            "",
            "seven77",
            "has space",
            "dotted.key",
            "\u{e9}t\u{e9}-\u{e9}t\u{e9}",
            &long,
        ] {
            let violation =
                key_of(&[("idempotency-key", bad)], CREATE, b"m").unwrap_err();
            assert_eq!(violation.field, "metadata.idempotency-key", "{bad:?}");
        }
        let twice = [("idempotency-key", "12345678"), ("idempotency-key", "12345678")];
        assert!(key_of(&twice, CREATE, b"m").is_err());
    }

    #[test]
    fn a_repeat_has_a_key_that_lasts_or_none() {
        let repeat = ("grpc-previous-rpc-attempts", "1");
        let violation = key_of(&[repeat], CREATE, b"m").unwrap_err();
        assert_eq!(violation.field, "metadata.idempotency-key");
        for stable in [("x-request-id", "r"), ("idempotency-key", "12345678")] {
            assert!(key_of(&[repeat, stable], CREATE, b"m").is_ok());
        }
    }

    #[test]
    fn an_rpc_that_is_sent_again_has_the_same_key() {
        let metadata = [("x-request-id", "7f1b")];
        let first = key_of(&metadata, CREATE, b"m").unwrap();
        assert_eq!(first, key_of(&metadata, CREATE, b"m").unwrap());
        assert!(is_valid(first.as_bytes()));
    }

    #[test]
    fn another_id_rpc_or_message_has_another_key() {
        let list = "ListPartnerSharedConnections";
        let keys = [
            key_of(&[("x-request-id", "1")], CREATE, b"m").unwrap(),
            key_of(&[("x-request-id", "2")], CREATE, b"m").unwrap(),
            key_of(&[("x-request-id", "1")], list, b"m").unwrap(),
            key_of(&[("x-request-id", "1")], CREATE, b"n").unwrap(),
            key_of(&[], CREATE, b"m").unwrap(),
            key_of(&[], CREATE, b"m").unwrap(),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
