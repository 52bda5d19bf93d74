//! The wait that Polytomic requests.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// The longest wait that is one, a year: a longer one is a number in another unit.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The least seconds that are a moment, not a wait: 2001, or 30 years.
const LEAST_MOMENT: Duration = Duration::from_secs(1_000_000_000);

/// The least number that is a moment in milliseconds, not in seconds: 2001, or the year
/// 33658.
const LEAST_MILLIS: Duration = Duration::from_secs(1_000_000_000_000);

/// Returns the longest wait that the headers request: a client that waits less is
/// rejected again.
///
/// The headers are `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3),
/// `retry-after-ms`, `RateLimit-Reset` and `X-RateLimit-Reset` (seconds, or seconds or
/// milliseconds since 1970). Each number may have a fraction, and a proxy may have joined
/// several with commas. Unreadable values are ignored, and so are a reset in the past and
/// a wait of more than a year.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let texts =
        |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let numbers = |name| texts(name).flat_map(|text| text.split(',')).filter_map(seconds);
    let dates = texts(RETRY_AFTER.as_str()).filter_map(|text| {
        let date = httpdate::parse_http_date(text.trim()).ok()?;
        Some(date.duration_since(now).unwrap_or(Duration::ZERO))
    });
    let waits = numbers(RETRY_AFTER.as_str()).chain(dates);
    let millis = numbers("retry-after-ms").map(|thousand| thousand / 1000);
    let resets = ["ratelimit-reset", "x-ratelimit-reset"].into_iter().flat_map(numbers);
    let resets = resets.filter_map(|reset| match reset {
        wait if wait < LEAST_MOMENT => Some(wait),
        millis if millis >= LEAST_MILLIS => until(millis / 1000, now),
        moment => until(moment, now),
    });

    waits.chain(millis).chain(resets).filter(|wait| *wait <= LONGEST).max()
}

/// Returns the time until a moment, given as the time since 1970.
fn until(moment: Duration, now: SystemTime) -> Option<Duration> {
    SystemTime::UNIX_EPOCH.checked_add(moment)?.duration_since(now).ok()
}

/// Reads digits and at most one fraction, to the nanosecond; a number too large to hold
/// is the largest one.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let is_number = |digits: &str| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}")[..9].parse().unwrap_or_default();
    Some(Duration::new(whole.parse().unwrap_or(u64::MAX), nanos))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Thu, 18 Sep 2025 08:49:37 GMT.
    const NOW: u64 = 1_758_185_377;

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
            ("retry-after", "61", Some(61_000)),
            ("retry-after", "99999999999999999999999", None),
            ("retry-after", "2592000", Some(2_592_000_000)),
            ("retry-after", "31622400", Some(31_622_400_000)),
            ("retry-after", "31622401", None),
            ("retry-after", "1758185387", None),
            ("retry-after", "Thu, 18 Sep 2099 08:49:47 GMT", None),
            ("retry-after-ms", "1758185387000", None),
            ("retry-after", "Thu, 18 Sep 2025 08:49:47 GMT", Some(10_000)),
            ("retry-after", "Thursday, 18-Sep-25 08:49:40 GMT", Some(3_000)),
            ("retry-after", "Thu Sep 18 08:49:39 2025", Some(2_000)),
            ("retry-after", "Thu, 18 Sep 2025 08:49:00 GMT", Some(0)),
            ("retry-after", "Thu, 18 Sep 2025 10:49:37 GMT", Some(7_200_000)),
            ("retry-after", "-5", None),
            ("retry-after", "1.5", Some(1_500)),
            ("retry-after", "0.0019999999999", Some(1)),
            ("retry-after", "1.", None),
            ("retry-after", ".5", None),
            ("retry-after", "1.5.5", None),
            ("retry-after", "+3", None),
            ("retry-after", "", None),
            ("retry-after", "soon", None),
            ("retry-after", "größe", None),
            ("retry-after-ms", "1500", Some(1_500)),
            ("retry-after-ms", "2500.0", Some(2_500)),
            ("retry-after-ms", "nan", None),
            ("ratelimit-reset", "120", Some(120_000)),
            ("ratelimit-reset", "0.25", Some(250)),
            ("ratelimit-reset", "1758185387", Some(10_000)),
            ("x-ratelimit-reset", "1758185382", Some(5_000)),
            ("x-ratelimit-reset", "1758185378.5", Some(1_500)),
            ("x-ratelimit-reset", "1758185370", None),
            ("x-ratelimit-reset", "1758185387000", Some(10_000)),
            ("x-ratelimit-reset", "1758185377250.5", Some(250)),
            ("ratelimit-reset", "1758185370000", None),
            ("ratelimit-reset", "1758185387000000", None),
            ("ratelimit-reset", "100000000", None),
            ("x-ratelimit-reset", "30", Some(30_000)),
            ("retry-after", "120, 60", Some(120_000)),
            ("ratelimit-reset", "3,4.5", Some(4_500)),
            ("x-ratelimit-reset", "18446744073709551615", None),
        ];
        for (name, value, millis) in cases {
            let found = wait(&[(name, value)]).map(|wait| wait.as_millis());
            assert_eq!(found, millis, "{name}: {value}");
        }
    }

    #[test]
    fn the_longest_wait_wins() {
        let all = [
            ("retry-after", "9"),
            ("retry-after-ms", "8500"),
            ("x-ratelimit-reset", "1758185385"),
            ("ratelimit-reset", "3"),
        ];
        assert_eq!(wait(&all), Some(Duration::from_secs(9)));
        let twice = [("retry-after", "junk"), ("retry-after", "4"), ("retry-after", "3")];
        assert_eq!(wait(&twice), Some(Duration::from_secs(4)));
        assert_eq!(wait(&[]), None);
    }
}
