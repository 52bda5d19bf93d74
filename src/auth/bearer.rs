//! Reads a bearer key out of gRPC metadata. Everything a key may not hold is
//! refused here, so the rest of the room can put it into a header unchecked.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Error;

/// The longest credential taken, in bytes. Known keys have 36 to 60; 8 KiB is what
/// common servers allow for a whole header list.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// Takes the key out of the only `authorization` value.
///
/// # Errors
///
/// [`Error::Missing`] without a value, [`Error::Malformed`] for anything but one
/// `Bearer` value of RFC 6750.
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
        return Err("the Basic scheme is not taken here: \
                    these RPCs need a partner key as `Bearer <key>`");
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err("the scheme is not Bearer: expected `Bearer <key>`");
    }
    token(rest.trim_ascii())
}

/// Checks that `key` is a `b64token` of RFC 6750 §2.1, which holds every documented
/// shape of a Polytomic key (a UUID, `pk_live_…`) and any JWT.
///
/// # Errors
///
/// Says in a clause what is wrong, never quoting the key.
pub(super) fn token(key: &[u8]) -> Result<&str, &'static str> {
    let padding = key.iter().rev().take_while(|&&byte| byte == b'=').count();
    let body = &key[..key.len() - padding];
    if body.is_empty() {
        return Err("the key is empty");
    }
    if body.iter().any(u8::is_ascii_whitespace) {
        return Err("the key holds white space");
    }
    if body.iter().any(u8::is_ascii_control) {
        return Err("the key holds a control character");
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if !body.iter().all(allowed) {
        return Err("the key holds a character no bearer key may have");
    }
    str::from_utf8(key).map_err(|_| "the key holds a character no bearer key may have")
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
    fn one_bearer_key_is_taken_whatever_the_case_and_the_blanks() {
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
    fn everything_else_is_refused_with_its_reason() {
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
            (b"Bearer one,two", "no bearer key"),
            (b"Bearer o=ne", "no bearer key"),
            (b"Bearer \"one\"", "no bearer key"),
            ("Bearer schlüssel".as_bytes(), "no bearer key"),
            (b"Bearer \xff\xfe", "no bearer key"),
            (&long, "8 KiB"),
        ];
        for (value, reason) in cases {
            let Err(Error::Malformed(said)) = from_metadata(&metadata(&[value])) else {
                panic!("{:?} was taken", value.escape_ascii().to_string());
            };
            let value = value.escape_ascii();
            assert!(said.contains(reason), "{value}: {said:?} lacks {reason:?}");
        }
    }

    #[test]
    fn control_bytes_are_refused_wherever_they_come_from() {
        for byte in (0..=0x1f).chain([0x7f]) {
            assert!(token(&[b'a', byte, b'b']).is_err(), "{byte:#x}");
            assert!(from_header(&[b"Bearer a", &[byte][..], b"b"].concat()).is_err());
        }
    }

    #[test]
    fn no_value_and_two_values_are_told_apart() {
        assert_eq!(from_metadata(&metadata(&[])), Err(Error::Missing));
        let twice = metadata(&[b"Bearer one", b"Bearer one"]);
        let refused = from_metadata(&twice);
        assert_eq!(refused, Err(Error::Malformed("more than one authorization value")));
    }

    #[test]
    fn the_longest_credential_is_taken() {
        let value = [b"Bearer ".as_slice(), &[b'a'; MAX_BYTES - 7]].concat();
        assert_eq!(from_metadata(&metadata(&[&value])).unwrap().len(), MAX_BYTES - 7);
    }
}
