//! Reads a bearer key from gRPC metadata. It rejects every byte that a key may not
//! have, so the rest of auth can put a key into a header unchecked.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Error;

/// Maximum bytes of a credential. Known keys have 36 to 60; 8 KiB is what common servers
/// allow for a whole header list.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// Returns the key in the only `authorization` value.
///
/// # Errors
///
/// [`Error::Missing`] without a value, [`Error::Malformed`] unless there is exactly one
/// value and it is a `Bearer` value of RFC 6750.
pub(super) fn from_metadata(metadata: &HeaderMap) -> Result<&str, Error> {
    let mut values = metadata.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::Missing)?;
    if values.next().is_some() {
        return Err(Error::Malformed("more than one authorization value"));
    }
    from_header(value.as_bytes()).map_err(Error::Malformed)
}

fn from_header(value: &[u8]) -> Result<&str, &'static str> {
    if value.len() > MAX_BYTES {
        return Err("longer than 8 KiB");
    }
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if scheme.is_empty() {
        return Err("the authorization value is empty");
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        return Err("the scheme is Basic; send the partner key as `Bearer <key>`");
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err("the scheme is not Bearer; send `Bearer <key>`");
    }
    token(rest.trim_ascii())
}

/// Returns `key` if it is a `b64token` of RFC 6750 §2.1, as every documented shape of a
/// Polytomic key is (a UUID, `pk_live_…`).
///
/// # Errors
///
/// States the problem in a clause, without any part of the key.
pub(super) fn token(key: &[u8]) -> Result<&str, &'static str> {
    let padding = key.iter().rev().take_while(|&&byte| byte == b'=').count();
    let body = &key[..key.len() - padding];
    if body.is_empty() {
        return Err("the key is empty");
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if !body.iter().all(allowed) {
        return Err(problem(body));
    }
    str::from_utf8(key).map_err(|_| problem(body))
}

/// Returns what a key has that it may not have.
fn problem(key: &[u8]) -> &'static str {
    if key.iter().any(u8::is_ascii_whitespace) {
        "the key contains white space"
    } else if key.iter().any(u8::is_ascii_control) {
        "the key contains a control character"
    } else {
        "the key contains a character that bearer keys may not have"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::HeaderValue;

    use super::*;

    fn metadata(values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
        values.map(|value| (AUTHORIZATION, value)).collect()
    }

    #[test]
    fn bearer_key_is_accepted_in_any_case_and_spacing() {
        for value in [
            "Bearer 8e5dcfdd-d23d-4e6f-a136-119e1254847b",
            "bearer 8e5dcfdd-d23d-4e6f-a136-119e1254847b",
            "BEARER \t 8e5dcfdd-d23d-4e6f-a136-119e1254847b",
            " Bearer 8e5dcfdd-d23d-4e6f-a136-119e1254847b \t",
        ] {
            let metadata = metadata(&[value.as_bytes()]);
            let key = from_metadata(&metadata).unwrap();
            assert_eq!(key, "8e5dcfdd-d23d-4e6f-a136-119e1254847b", "{value:?}");
        }
        for key in ["pk_live_4f8a", "a.b-c_d~e+f/g==", "x"] {
            let metadata = metadata(&[format!("Bearer {key}").as_bytes()]);
            assert_eq!(from_metadata(&metadata).unwrap(), key);
        }
    }

    #[test]
    fn any_other_value_is_rejected_with_its_problem() {
        let long = [b"Bearer ".as_slice(), &[b'a'; MAX_BYTES]].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b" \t", "empty"),
            (b"Bearer", "the key is empty"),
            (b"Bearer  ", "the key is empty"),
            (b"Bearer ==", "the key is empty"),
            (b"Basic b3JnOmtleQ==", "partner key"),
            (b"Digest username=x", "not Bearer"),
            (b"8e5dcfdd-d23d-4e6f-a136-119e1254847b", "not Bearer"),
            (b"Bearerkey", "not Bearer"),
            (b"Bearer one two", "white space"),
            (b"Bearer one\ttwo", "white space"),
            (b"Bearer one,Bearer two", "white space"),
            (b"Bearer one,two", "may not have"),
            (b"Bearer o=ne", "may not have"),
            (b"Bearer \"one\"", "may not have"),
            ("Bearer schlüssel".as_bytes(), "may not have"),
            (b"Bearer \xff\xfe", "may not have"),
            (&long, "8 KiB"),
        ];
        for (value, expected) in cases {
            let Err(Error::Malformed(problem)) = from_metadata(&metadata(&[value]))
            else {
                panic!("{:?} was accepted", value.escape_ascii().to_string());
            };
            let value = value.escape_ascii();
            assert!(
                problem.contains(expected),
                "{value}: {problem:?} lacks {expected:?}"
            );
        }
    }

    #[test]
    fn control_bytes_are_rejected() {
        for byte in (0..=0x1f).chain([0x7f]) {
            assert!(token(&[b'a', byte, b'b']).is_err(), "{byte:#x}");
            assert!(from_header(&[b"Bearer a", &[byte][..], b"b"].concat()).is_err());
        }
    }

    #[test]
    fn missing_and_repeated_values_are_different_errors() {
        assert_eq!(from_metadata(&metadata(&[])), Err(Error::Missing));
        let twice = metadata(&[b"Bearer one", b"Bearer one"]);
        let rejected = from_metadata(&twice);
        assert_eq!(rejected, Err(Error::Malformed("more than one authorization value")));
    }

    #[test]
    fn longest_credential_is_accepted() {
        let value = [b"Bearer ".as_slice(), &[b'a'; MAX_BYTES - 7]].concat();
        assert_eq!(from_metadata(&metadata(&[&value])).unwrap().len(), MAX_BYTES - 7);
    }
}
