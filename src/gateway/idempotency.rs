//! The idempotency key that makes retries of a create harmless.
//!
//! Polytomic records the first outcome of a POST under its `Idempotency-Key` and
//! replays it for at least 24 hours. So every POST carries one, and a retry with the
//! same key, by a client, a proxy or the gateway, takes effect only once.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::metadata::{client_request_id, has_credential, is_retry, is_retry_of_client};
use crate::{contract::Rpc, transcode::Violation};

/// The metadata with the client's key, and in responses with the key used.
pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The metadata of a response that says where its key came from.
pub(super) const ORIGIN: HeaderName = HeaderName::from_static("idempotency-key-origin");

/// The namespace of derived keys (UUIDv5): an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_93a5_1c5e_4f3b_9d38_70c1_8f2a_be57);

/// The context of the digest that stands for credentials in derived keys, and nowhere
/// else. Not random: all replicas must derive the same keys.
const CREDENTIALS: &str = "polytomic-gateway 2026-11-27 credentials in derived keys";

/// The violation of a retried create whose key Polytomic would not know.
const RETRIED: &str =
    "is required on a retried create: send the same idempotency-key with every retry";

/// The key of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) value: HeaderValue,
    pub(super) origin: Origin,
}

/// Where a key came from, which decides who may retry with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client gave it, so that each of its retries has it.
    Given,
    /// The gateway derived it. A proxy that sends the stream again causes the same key;
    /// a retry of the client may have another request ID, and so another key.
    Derived,
    /// The gateway generated it. No retry has it.
    Fresh,
}

impl Origin {
    /// Every origin.
    pub(super) const ALL: [Self; 3] = [Self::Given, Self::Derived, Self::Fresh];

    /// Returns the name in metadata, details and log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Derived => "derived",
            Self::Fresh => "fresh",
        }
    }
}

/// Returns the key of a create: the client's own; else one derived from the client's
/// `x-request-id`, which proxies keep when they retry; else a fresh one. The `credential`
/// tells the client from others that send the same ID and message.
///
/// # Errors
///
/// If the client's own key does not have Polytomic's format, or if the RPC is a retry
/// that could take effect again with the key it would get.
pub(super) fn key(
    metadata: &HeaderMap,
    credential: &[u8],
    rpc: &Rpc,
    message: &[u8],
) -> Result<Key, Violation> {
    if metadata.contains_key(HEADER) {
        return given(metadata).ok_or_else(|| {
            violation(
                "must be one value of 8 to 255 letters, digits, `_` and `-`, and not the \
                 credential",
            )
        });
    }
    // A sidecar gives each try of a client library a new request ID.
    if is_retry_of_client(metadata) {
        return Err(violation(RETRIED));
    }
    match client_request_id(metadata) {
        Some(id) => Ok(derived(id, credential, rpc, message)),
        None if is_retry(metadata) => Err(violation(RETRIED)),
        None => Ok(Key { value: header_value(Uuid::new_v4()), origin: Origin::Fresh }),
    }
}

/// Returns the client's own key, if it has Polytomic's format. It is logged, so it must not
/// have the client's credential.
pub(super) fn given(metadata: &HeaderMap) -> Option<Key> {
    let mut keys = metadata.get_all(HEADER).iter();
    let key = keys.next().filter(|key| is_valid(key.as_bytes()))?;
    if has_credential(metadata, key) {
        return None;
    }
    let is_alone = keys.next().is_none();
    is_alone.then(|| Key { value: key.clone(), origin: Origin::Given })
}

fn derived(
    request_id: &HeaderValue,
    credential: &[u8],
    rpc: &Rpc,
    message: &[u8],
) -> Key {
    let credentials = blake3::derive_key(CREDENTIALS, credential);
    let path = rpc.path();
    let mut name = Vec::with_capacity(path.len() + message.len() + 192);
    // Lengths make different lists of parts differ.
    for part in [request_id.as_bytes(), path.as_bytes(), message, &credentials] {
        name.extend_from_slice(&(part.len() as u64).to_le_bytes());
        name.extend_from_slice(part);
    }
    let value = header_value(Uuid::new_v5(&NAMESPACE, &name));
    Key { value, origin: Origin::Derived }
}

fn violation(description: &str) -> Violation {
    Violation { field: format!("metadata.{HEADER}"), description: description.to_owned() }
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

    use http::header::AUTHORIZATION;

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
        let credential = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        key(&headers, credential.unwrap_or_default(), rpc, message)
            .map(|key| key.value.to_str().unwrap().to_owned())
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
        let credential = ("authorization", "Bearer 12345678");
        assert!(key_of(&[twice[0], credential], CREATE, b"m").is_err());
    }

    #[test]
    fn a_retry_of_the_client_needs_its_own_key() {
        let retry = ("grpc-previous-rpc-attempts", "1");
        for metadata in [&[retry][..], &[retry, ("x-request-id", "r")]] {
            let violation = key_of(metadata, CREATE, b"m").unwrap_err();
            assert_eq!(violation.field, "metadata.idempotency-key");
        }
        let given = [retry, ("idempotency-key", "12345678")];
        assert_eq!(key_of(&given, CREATE, b"m").unwrap(), "12345678");
    }

    #[test]
    fn a_retry_of_a_proxy_needs_a_key_or_a_request_id() {
        let retry = ("x-envoy-attempt-count", "2");
        for metadata in [&[retry][..], &[retry, ("x-request-id", "-")]] {
            let violation = key_of(metadata, CREATE, b"m").unwrap_err();
            assert_eq!(violation.field, "metadata.idempotency-key");
        }
        for stable in [("x-request-id", "r"), ("idempotency-key", "12345678")] {
            assert_eq!(
                key_of(&[retry, stable], CREATE, b"m"),
                key_of(&[stable], CREATE, b"m")
            );
        }
    }

    /// Replicas of two versions run at the same time, and must derive the same keys.
    #[test]
    fn derived_keys_never_change() {
        let id = ("x-request-id", "5d0b6f1e-4c3a-4d56-9a7e-0f6f2f1d3c21");
        let key = ("authorization", "Bearer a-key");
        let keys = [
            key_of(&[id, key], CREATE, b"m").unwrap(),
            key_of(&[id, key], CREATE, b"").unwrap(),
            key_of(&[id], CREATE, b"m").unwrap(),
        ];
        let expected = [
            "32994d9a-3c31-54f5-a929-22f4026a8a94",
            "2866c747-b9cf-576f-a3f9-7e52d0324006",
            "4bd1c202-6208-5347-aa83-7b64914652f9",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn clients_with_different_credentials_share_no_key() {
        let of = |authorization| {
            let metadata = [("x-request-id", "r"), ("authorization", authorization)];
            key_of(&metadata, CREATE, b"m").unwrap()
        };
        assert_eq!(of("Bearer one"), of("Bearer one"));
        assert_ne!(of("Bearer one"), of("Bearer two"));
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
            key_of(&[("x-request-id", "-")], CREATE, b"m").unwrap(),
            key_of(&[("x-request-id", "-")], CREATE, b"m").unwrap(),
            key_of(&[], CREATE, b"m").unwrap(),
            key_of(&[], CREATE, b"m").unwrap(),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
