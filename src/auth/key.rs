//! Cache keys. A map keyed by secrets leaks them to whoever can read or time the map,
//! so the map sees only a hash under a key that no one outside this process has.

use std::fmt;

use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A credential's place in the cache: its hash under the key of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// Makes [`Key`]s.
pub(super) struct Hasher(Zeroizing<[u8; 32]>);

impl Hasher {
    /// Makes a hasher with fresh randomness for credentials of one use.
    pub(super) fn new(mode: &str, upstream: &str, api_version: &str) -> Self {
        // Two UUIDs of version 4 hold 244 bits from the operating system.
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let random = Zeroizing::new(*blake3::hash(&Zeroizing::new(random)).as_bytes());
        Self::from_random(&random, [mode, upstream, api_version])
    }

    /// The parts are fixed for the life of a process, so they are hashed once, each
    /// after its length, into the key under which every credential is hashed.
    fn from_random(random: &[u8; 32], parts: [&str; 3]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(random);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(Zeroizing::new(*hasher.finalize().as_bytes()))
    }

    /// Hashes a credential.
    pub(super) fn key(&self, credential: &str) -> Key {
        Key(*blake3::keyed_hash(&self.0, credential.as_bytes()).as_bytes())
    }
}

impl Key {
    /// Returns the first eight bytes in hexadecimal: enough to tell callers apart in a
    /// log, useless to anyone else, and another after each restart.
    pub(super) fn fingerprint(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex()[..16].to_owned()
    }

    /// Compares two keys in constant time.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.fingerprint())
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

    fn key(random: &[u8; 32], parts: [&str; 3], credential: &str) -> Key {
        Hasher::from_random(random, parts).key(credential)
    }

    #[test]
    fn a_key_depends_on_every_part_and_on_the_randomness() {
        let parts = ["passthrough", "https://a.example", "2025-09-18"];
        let base = key(&RANDOM, parts, "secret");
        assert!(base.is(&key(&RANDOM, parts, "secret")));
        for other in [
            key(&[8; 32], parts, "secret"),
            key(&RANDOM, parts, "secret2"),
            key(&RANDOM, ["static", parts[1], parts[2]], "secret"),
            key(&RANDOM, [parts[0], "https://b.example", parts[2]], "secret"),
            key(&RANDOM, [parts[0], parts[1], "2024-02-08"], "secret"),
        ] {
            assert!(!base.is(&other));
        }
    }

    #[test]
    fn parts_cannot_lend_each_other_their_ends() {
        let one = key(&RANDOM, ["ab", "c", ""], "secret");
        for parts in [["a", "bc", ""], ["abc", "", ""], ["ab", "", "c"], ["", "ab", "c"]]
        {
            assert_ne!(one, key(&RANDOM, parts, "secret"));
        }
    }

    #[test]
    fn two_processes_give_a_credential_different_fingerprints() {
        let fingerprint =
            || Hasher::new("passthrough", "u", "v").key("secret").fingerprint();
        let (one, other) = (fingerprint(), fingerprint());
        assert_ne!(one, other);
        assert_eq!(one.len(), 16);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn debug_shows_the_fingerprint_and_nothing_more() {
        let key = key(&RANDOM, ["", "", ""], "secret");
        assert_eq!(format!("{key:?}"), format!("Key({})", key.fingerprint()));
        assert_eq!(format!("{:?}", Hasher::new("", "", "")), "Hasher");
    }
}
