//! Times in the form of RFC 3339, as in the JSON of a `google.protobuf.Timestamp`.

/// A moment: seconds since the start of 1970 in UTC, and nanoseconds to add.
pub(super) type Moment = (i64, u32);

/// The first and the last second that a `Timestamp` can hold: the years 1 to
/// 9999 in UTC.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The length of `2024-01-15T09:30:00`.
const SECONDS_END: usize = 19;

/// Parses a time with any offset and up to nine digits of fraction; protobuf's
/// own readers reject more. Accepts lower-case `t` and `z`, as the RFC requires. A
/// leap second becomes the second before it, since a `Timestamp` has none.
pub(super) fn parse(text: &[u8]) -> Option<Moment> {
    let (time, rest) = text.split_at_checked(SECONDS_END)?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _] =
        time
    else {
        return None;
    };
    let (year, month, day) =
        (digits(&time[..4])?, digits(&time[5..7])?, digits(&time[8..10])?);
    let (hour, minute, second) =
        (digits(&time[11..13])?, digits(&time[14..16])?, digits(&time[17..])?);
    if day == 0 || day > days_in(year, month)? || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }

    let (nanos, rest) = fraction(rest)?;
    let days = days_before_year(year) + days_before_month(year, month) + day - 1;
    let local = (days * 24 + hour) * 3600 + minute * 60 + second.min(59);
    let seconds = local - EPOCH - offset(rest)?;
    RANGE.contains(&seconds).then_some((seconds, nanos))
}

/// Reads the fraction, if there is one, and returns the rest of the text.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let missing = 9usize.checked_sub(length).filter(|missing| *missing < 9)?;
    let (fraction, rest) = text.split_at(length);
    let nanos = digits(fraction)? * 10i64.pow(u32::try_from(missing).ok()?);
    Some((u32::try_from(nanos).ok()?, rest))
}

/// Reads the offset from UTC, in seconds.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [*h1, *h2], [*m1, *m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Seconds from the start of the year 1 to the start of 1970.
const EPOCH: i64 = 719_162 * 86_400;

fn days_before_year(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400)
}

fn days_before_month(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

    let index = usize::try_from(month - 1).unwrap_or_default();
    BEFORE[index] + i64::from(month > 2 && is_leap(year))
}

/// Returns the number of days in a month, or `None` if there is no such month.
fn days_in(year: i64, month: i64) -> Option<i64> {
    match month {
        2 => Some(28 + i64::from(is_leap(year))),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_any_offset_and_fraction() {
        for (text, moment) in [
            ("1970-01-01T00:00:00Z", (0, 0)),
            ("2024-01-15T09:30:00Z", (1_705_311_000, 0)),
            ("2024-01-15t09:30:00z", (1_705_311_000, 0)),
            ("2024-01-15T09:30:00.5Z", (1_705_311_000, 500_000_000)),
            ("2024-01-15T09:30:00.000000001Z", (1_705_311_000, 1)),
            ("2024-01-15T09:30:00.123456789+00:00", (1_705_311_000, 123_456_789)),
            ("2024-01-15T15:00:00+05:30", (1_705_311_000, 0)),
            ("2024-01-14T09:31:00-23:59", (1_705_311_000, 0)),
            ("1969-12-31T23:59:59.25Z", (-1, 250_000_000)),
            ("2024-02-29T00:00:00Z", (1_709_164_800, 0)),
            ("2000-02-29T00:00:00Z", (951_782_400, 0)),
            ("2016-12-31T23:59:60Z", (1_483_228_799, 0)),
            ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
            ("9999-12-31T23:59:59.999999999Z", (253_402_300_799, 999_999_999)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(moment), "{text}");
        }
    }

    #[test]
    fn malformed_or_out_of_range_time_is_rejected() {
        for text in [
            "",
            "2024-01-15",
            "2024-01-15T09:30Z",
            "2024-01-15T09:30:00",
            "2024-01-15 09:30:00Z",
            "2024-01-15T09:30:00 Z",
            "2024-01-15T09:30:00Zz",
            " 2024-01-15T09:30:00Z",
            "2024-01-15T09:30:00.Z",
            "2024-01-15T09:30:00,5Z",
            "2024-01-15T09:30:00.1234567891Z",
            "2024-01-15T09:30:00.5",
            "2024-01-15T09:30:00+0530",
            "2024-01-15T09:30:00+05",
            "2024-01-15T09:30:00+24:00",
            "2024-01-15T09:30:00+00:60",
            "2024-01-15T09:30:00+-1:00",
            "2024-01-15T24:00:00Z",
            "2024-01-15T09:60:00Z",
            "2024-01-15T09:30:61Z",
            "2024-00-15T09:30:00Z",
            "2024-13-15T09:30:00Z",
            "2024-01-00T09:30:00Z",
            "2024-01-32T09:30:00Z",
            "2024-04-31T09:30:00Z",
            "2023-02-29T09:30:00Z",
            "1900-02-29T09:30:00Z",
            "+024-01-15T09:30:00Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "2024-01-15T09:30:0éZ",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
