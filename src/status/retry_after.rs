//! The wait that Polytomic requests.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// The longest wait that clients get; they may retry after it.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// Returns the shortest wait that the headers request, 60 s at most.
///
/// The headers are `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3),
/// `retry-after-ms` and `X-RateLimit-Reset` (seconds since 1970). Unreadable values are
/// ignored, and so is a reset in the past.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let texts =
        |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let waits = texts(RETRY_AFTER.as_str()).filter_map(|text| seconds_or_date(text, now));
    let millis = texts("retry-after-ms").filter_map(number).map(Duration::from_millis);
    let resets = texts("x-ratelimit-reset").filter_map(|text| until_reset(text, now));

    waits.chain(millis).chain(resets).min().map(|wait| wait.min(LONGEST))
}

fn seconds_or_date(text: &str, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = number(text) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

fn until_reset(text: &str, now: SystemTime) -> Option<Duration> {
    let reset = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(number(text)?))?;
    reset.duration_since(now).ok()
}

/// Reads digits only; a number too large to hold is the largest one.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const NOW: u64 = 784_111_777;

    fn wait(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        retry_after(&map, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn every_format_of_a_wait_is_read() {
        let cases = [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", " 0 ", Some(0)),
            ("retry-after", "61", Some(60_000)),
            ("retry-after", "99999999999999999999999", Some(60_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
            ("retry-after", "Sunday, 06-Nov-94 08:49:40 GMT", Some(3_000)),
            ("retry-after", "Sun Nov  6 08:49:39 1994", Some(2_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", Some(60_000)),
            ("retry-after", "-5", None),
            ("retry-after", "1.5", None),
            ("retry-after", "+3", None),
            ("retry-after", "", None),
            ("retry-after", "soon", None),
            ("retry-after", "größe", None),
            ("retry-after-ms", "1500", Some(1_500)),
            ("retry-after-ms", "nan", None),
            ("x-ratelimit-reset", "784111782", Some(5_000)),
            ("x-ratelimit-reset", "784111770", None),
            ("x-ratelimit-reset", "18446744073709551615", None),
        ];
        for (name, value, millis) in cases {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(wait(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_shortest_wait_wins() {
        let all = [
            ("retry-after", "9"),
            ("retry-after-ms", "8500"),
            ("x-ratelimit-reset", "784111785"),
        ];
        assert_eq!(wait(&all), Some(Duration::from_secs(8)));
        let twice = [("retry-after", "junk"), ("retry-after", "4"), ("retry-after", "3")];
        assert_eq!(wait(&twice), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[]), None);
    }
}
