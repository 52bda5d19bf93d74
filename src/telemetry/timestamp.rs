//! The time of a log line.

use std::{
    cell::Cell,
    fmt::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// Bytes of a time without its fraction, such as `2026-11-28T03:12:15`.
const LENGTH: usize = 19;

thread_local! {
    /// The last second that this thread has written. To compute a date takes as long
    /// as to write half of the other fields.
    static LAST: Cell<Second> = const { Cell::new(Second { number: 0, text: *b"1970-01-01T00:00:00" }) };
}

/// A second since 1970.
#[derive(Clone, Copy)]
struct Second {
    number: u64,
    text: [u8; LENGTH],
}

impl Second {
    /// Returns a second in UTC. Years after 9999 are not meant to be read.
    fn new(number: u64) -> Self {
        let last = LAST.get();
        if last.number == number {
            return last;
        }
        let seconds = i64::try_from(number).unwrap_or_default();
        let text = prost_types::Timestamp { seconds, nanos: 0 }.to_string();
        let text = *text.as_bytes().first_chunk().unwrap_or(&last.text);
        let second = Self { number, text };
        LAST.set(second);
        second
    }
}

/// Writes the time in UTC as RFC 3339, with microseconds.
#[derive(Debug)]
pub(super) struct Timestamp;

impl Timestamp {
    /// Writes the time now.
    pub(super) fn write(line: &mut impl Write) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        write(now.unwrap_or_default(), line)
    }
}

/// Returns a time in UTC as a log line has it, without the fraction.
#[must_use]
pub fn timestamp(at: SystemTime) -> String {
    let second = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = Second::new(second).text;
    format!("{}Z", str::from_utf8(&text).unwrap_or_default())
}

/// Writes a time since 1970.
fn write(time: Duration, line: &mut impl Write) -> fmt::Result {
    let second = Second::new(time.as_secs()).text;
    line.write_str(str::from_utf8(&second).unwrap_or_default())?;
    write!(line, ".{:06}Z", time.subsec_micros())
}

impl FormatTime for Timestamp {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        Self::write(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rfc_3339_in_utc() {
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_827_696, 7, "2000-02-29T12:34:56.000007Z"),
            (951_827_696, 999_999, "2000-02-29T12:34:56.999999Z"),
            (1_795_835_535, 89_386, "2026-11-28T03:12:15.089386Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
        ] {
            let mut line = String::new();
            let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(write(time, &mut line), Ok(()));
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn no_time_panics() {
        for seconds in [253_402_300_800, i64::MAX as u64, u64::MAX] {
            assert_eq!(write(Duration::from_secs(seconds), &mut String::new()), Ok(()));
        }
    }
}
