//! The `exp` of a credential that happens to be a JWT, so that nothing learned about
//! it outlives it. Nothing is verified: Polytomic does that. A false `exp` can only
//! shorten how long an entry is kept.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Returns how long `token` stays valid after `now`: zero when it no longer is, `None`
/// when it is no JWT (RFC 7519) or states no `exp`.
pub(super) fn time_left(token: &str, now: SystemTime) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: f64,
    }
    let (_header, rest) = token.split_once('.')?;
    let (claims, signature) = rest.split_once('.')?;
    if signature.contains('.') {
        return None;
    }
    let claims = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?);
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    let exp = Duration::try_from_secs_f64(exp).unwrap_or(Duration::ZERO);
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Some(exp.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn left(claims: &str) -> Option<Duration> {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        time_left(&format!("eyJhbGciOiJFUzI1NiJ9.{claims}.c2ln"), now())
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    #[test]
    fn a_jwt_has_the_time_until_its_exp() {
        assert_eq!(left(r#"{"exp":1700000030}"#), Some(Duration::from_secs(30)));
        assert_eq!(
            left(r#"{"exp":1700000030.5,"sub":"x"}"#).map(|t| t.as_secs()),
            Some(30)
        );
        assert_eq!(left(r#"{"exp":1699999999}"#), Some(Duration::ZERO));
        assert_eq!(left(r#"{"exp":-1}"#), Some(Duration::ZERO));
    }

    #[test]
    fn anything_else_has_none() {
        assert_eq!(left(r"{}"), None);
        assert_eq!(left(r#"{"exp":"soon"}"#), None);
        assert_eq!(left("not json"), None);
        for token in
            ["8e5dcfdd-d23d-4e6f-a136-119e1254847b", "a.b", "a.!.c", "a.b.c.d", ".."]
        {
            assert_eq!(time_left(token, now()), None, "{token}");
        }
    }
}
