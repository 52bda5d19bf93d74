//! Numbers as a person reads them.

use std::time::Duration;

/// Returns a length of time in its two largest units.
pub(super) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Returns a duration of an RPC in milliseconds or seconds.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.01 => format!("{:.2} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

/// Returns a number of bytes in its largest unit.
#[expect(clippy::cast_precision_loss, reason = "it is rounded")]
pub(super) fn bytes(bytes: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_has_its_largest_units() {
        for (seconds, expected) in [
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (7_260, "2 h 1 min"),
            (180_000, "2 d 2 h"),
        ] {
            assert_eq!(length(Duration::from_secs(seconds)), expected);
        }
        for (micros, expected) in
            [(0, "0.00 ms"), (1_234, "1.23 ms"), (25_600, "26 ms"), (2_560_000, "2.6 s")]
        {
            assert_eq!(duration(Duration::from_micros(micros)), expected);
        }
        for (number, expected) in
            [(1023, "1023 B"), (1536, "1.5 KiB"), (256 << 20, "256.0 MiB")]
        {
            assert_eq!(bytes(number), expected);
        }
    }
}
