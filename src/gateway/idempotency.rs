//! The idempotency key that makes retries of a create harmless.
//!
//! Polytomic records the first outcome of a POST under its `Idempotency-Key` and
//! replays it for at least 24 hours. So every POST carries one, and a retry with the
//! same key, by a client, a proxy or the gateway, takes effect only once.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::metadata::{REQUEST_ID, is_retry};
use crate::{contract::Rpc, transcode::Violation};

/// The metadata with the client's key, and in responses with the key used.
pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The namespace of derived keys (UUIDv5): an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_93a5_1c5e_4f3b_9d38_70c1_8f2a_be57);

/// The violation of a retried create whose key Polytomic would not know.
const RETRIED: &str =
    "is required on a retried create: send the same idempotency-key with every retry";

/// The key of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) value: HeaderValue,
    /// Whether a retry of the RPC as it is has the same key.
    pub(super) lasts: bool,
}

/// Returns the key of a create: the client's own; else one derived from the client's
/// `x-request-id`, which proxies keep when they retry; else a fresh one.
///
/// # Errors
///
/// If the client's own key does not have Polytomic's format, or if the RPC is a retry
/// that could take effect again with a fresh key.
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
    // Only a client's ID: a retry would get another one from the gateway.
    let Some(request_id) = metadata.get(REQUEST_ID) else {
        if is_retry(metadata) {
            return Err(Violation {
                field: format!("metadata.{HEADER}"),
                description: RETRIED.to_owned(),
            });
        }
        return Ok(Key { value: header_value(Uuid::new_v4()), lasts: false });
    };
    let path = rpc.path();
    let mut name = Vec::with_capacity(path.len() + message.len() + 64);
    // Lengths make different lists of parts differ.
    for part in [request_id.as_bytes(), path.as_bytes(), message] {
        name.extend_from_slice(&(part.len() as u64).to_le_bytes());
        name.extend_from_slice(part);
    }
    Ok(lasting(header_value(Uuid::new_v5(&NAMESPACE, &name))))
}

/// Returns the client's own key, if it has Polytomic's format.
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
    fn a_clients_own_key_wins_over_its_request_id() {
        let metadata = [("idempotency-key", "my-own_key-1"), ("x-request-id", "r")];
        assert_eq!(key_of(&metadata, CREATE, b"m").unwrap(), "my-own_key-1");
    }

    #[test]
    fn a_key_in_another_format_is_rejected() {
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
    fn a_retry_needs_a_key_that_lasts() {
        let retry = ("grpc-previous-rpc-attempts", "1");
        let violation = key_of(&[retry], CREATE, b"m").unwrap_err();
        assert_eq!(violation.field, "metadata.idempotency-key");
        for stable in [("x-request-id", "r"), ("idempotency-key", "12345678")] {
            assert!(key_of(&[retry, stable], CREATE, b"m").is_ok());
        }
    }

    #[test]
    fn a_retry_with_the_same_request_id_has_the_same_key() {
        let metadata = [("x-request-id", "7f1b")];
        let first = key_of(&metadata, CREATE, b"m").unwrap();
        assert_eq!(first, key_of(&metadata, CREATE, b"m").unwrap());
        assert!(is_valid(first.as_bytes()));
    }

    #[test]
    fn another_request_id_rpc_or_message_has_another_key() {
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
