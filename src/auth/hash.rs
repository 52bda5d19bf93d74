//! Hashes that stand for credentials. A map keyed by secrets would leak them to a reader
//! of its memory or its timing. So the maps of auth hold hashes, made with a key that
//! exists only in this process.

use std::fmt;

use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::budget::KeyId;

/// The hash of a credential, with the key of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CredentialHash([u8; 32]);

/// Makes [`CredentialHash`]es. Holds the key of this process.
pub(super) struct Hasher(Zeroizing<[u8; 32]>);

impl Hasher {
    /// Makes a hasher with a random key.
    pub(super) fn new(mode: &str, upstream: &str, api_version: &str) -> Self {
        // Two UUIDs of version 4 hold 244 bits from the operating system.
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let random = Zeroizing::new(*blake3::hash(&Zeroizing::new(random)).as_bytes());
        Self::from_random(&random, [mode, upstream, api_version])
    }

    /// The parts are the same for the life of a process, so they are hashed once into
    /// the key, each after its length.
    fn from_random(random: &[u8; 32], parts: [&str; 3]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(random);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(Zeroizing::new(*hasher.finalize().as_bytes()))
    }

    /// Hashes a credential.
    pub(super) fn hash(&self, credential: &str) -> CredentialHash {
        CredentialHash(*blake3::keyed_hash(&self.0, credential.as_bytes()).as_bytes())
    }
}

impl CredentialHash {
    /// Returns the first 8 bytes: enough to tell clients apart. They do not reveal the
    /// credential and differ after each restart.
    pub(super) fn id(&self) -> KeyId {
        let first = self.0.first_chunk().expect("a hash has 32 bytes");
        KeyId(u64::from_be_bytes(*first))
    }

    /// Compares two hashes in constant time.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for CredentialHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialHash({})", self.id())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u8; 32] = [7; 32];

    fn hash(random: &[u8; 32], parts: [&str; 3], credential: &str) -> CredentialHash {
        Hasher::from_random(random, parts).hash(credential)
    }

    #[test]
    fn hash_depends_on_every_part_and_on_the_random_key() {
        let parts = ["passthrough", "https://a.example", "2025-09-18"];
        let base = hash(&RANDOM, parts, "secret");
        assert!(base.matches(&hash(&RANDOM, parts, "secret")));
        for other in [
            hash(&[8; 32], parts, "secret"),
            hash(&RANDOM, parts, "secret2"),
            hash(&RANDOM, ["static", parts[1], parts[2]], "secret"),
            hash(&RANDOM, [parts[0], "https://b.example", parts[2]], "secret"),
            hash(&RANDOM, [parts[0], parts[1], "2024-02-08"], "secret"),
        ] {
            assert!(!base.matches(&other));
        }
    }

    #[test]
    fn moving_bytes_between_parts_changes_the_hash() {
        let one = hash(&RANDOM, ["ab", "c", ""], "secret");
        for parts in [["a", "bc", ""], ["abc", "", ""], ["ab", "", "c"], ["", "ab", "c"]]
        {
            assert_ne!(one, hash(&RANDOM, parts, "secret"));
        }
    }

    #[test]
    fn fingerprints_differ_between_processes() {
        let fingerprint =
            || Hasher::new("passthrough", "u", "v").hash("secret").id().to_string();
        let (one, other) = (fingerprint(), fingerprint());
        assert_ne!(one, other);
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn debug_shows_only_the_fingerprint() {
        let hash = hash(&RANDOM, ["", "", ""], "secret");
        let expected = format!("CredentialHash({})", hash.id());
        assert_eq!(format!("{hash:?}"), expected);
        assert_eq!(format!("{:?}", Hasher::new("", "", "")), "Hasher");
    }
}
