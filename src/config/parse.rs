//! The values of settings, from text.
//!
//! Each error says what to give instead; clap puts the setting and the value before it.

use std::{net::SocketAddr, time::Duration};

use crate::telemetry::LogFilter;

/// The longest time that a setting may have.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The units of a time, in seconds.
const TIMES: [(&str, f64); 5] =
    [("", 1.0), ("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// The units of a size, in bytes.
const SIZES: [(&str, usize); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// The timeout of one RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RpcTimeout {
    /// The name of the RPC, as the operator wrote it.
    pub(super) rpc: String,
    pub(super) timeout: Duration,
}

/// An address to listen on, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenOrOff {
    At(SocketAddr),
    Off,
}

/// Parses an address to listen on, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<ListenOrOff, String> {
    if text == "off" {
        return Ok(ListenOrOff::Off);
    }
    text.parse().map(ListenOrOff::At).map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:9464, or off".to_owned()
    })
}

/// Parses an address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:50051 or [::]:50051".to_owned()
    })
}

/// Checks a filter of the log.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    LogFilter::check(text).map(|()| text.to_owned())
}

/// Parses a number of RPCs or connections.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "give a whole number, 1 or more".to_owned())
}

/// Parses a number of connections, of which 0 stands for no limit.
pub(super) fn number_or_zero(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "give a whole number".to_owned())
}

/// Parses a size of 1 byte or more: `4MiB`, `64KiB`, `4MB`, `4194304`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let bytes = find(&SIZES, unit)
        .zip(number.parse::<usize>().ok())
        .and_then(|(unit, number)| number.checked_mul(unit));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        "give a size such as 4MiB, 64KiB, 1GiB or 4MB; a number without a unit is bytes"
            .to_owned()
    })
}

/// Parses the size limit of one response.
pub(super) fn answer_size(text: &str) -> Result<usize, String> {
    /// A message may take five times the bytes of its JSON, and a gRPC frame has
    /// at most 4 GiB.
    const MOST: usize = 512 << 20;

    Some(size(text)?)
        .filter(|bytes| *bytes <= MOST)
        .ok_or_else(|| "give at most 512MiB".to_owned())
}

/// Parses the timeout of one RPC. The contract, which knows the RPCs, checks the
/// name later.
pub(super) fn rpc_timeout(text: &str) -> Result<RpcTimeout, String> {
    let (rpc, length) = text
        .split_once('=')
        .ok_or_else(|| "give an RPC, = and its timeout, such as ListX=5s".to_owned())?;
    Ok(RpcTimeout { rpc: rpc.to_owned(), timeout: some_time(length)? })
}

/// Parses a time longer than 0.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let length = time(text)?;
    if length.is_zero() {
        return Err("give more than 0, such as 30s or 250ms".to_owned());
    }
    Ok(length)
}

/// Parses a time of up to a day: `5s`, `250ms`, `2m`, `1h`, `30`, `0.5`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = find(&TIMES, unit)
        .zip(number.parse::<f64>().ok())
        .map(|(unit, number)| number * unit)
        .ok_or_else(|| {
            "give a time such as 5s, 250ms, 2m or 1h; a number without a unit is seconds"
                .to_owned()
        })?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| *length <= DAY)
        .ok_or_else(|| "give a time from 0 to 24h".to_owned())
}

/// Splits a value into its number and its unit.
fn split(text: &str) -> (&str, &str) {
    let unit = text.find(|character: char| character.is_ascii_alphabetic());
    text.split_at(unit.unwrap_or(text.len()))
}

fn find<T: Copy>(units: &[(&str, T)], unit: &str) -> Option<T> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_units_and_a_bare_number_is_seconds() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("250ms", 250),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("30", 30_000),
            ("0.5", 500),
            ("1.5m", 90_000),
            ("0", 0),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "s", "soon", "5 s", "5S", "5sec", "1m30s", "1e3", "NaN", "inf"] {
            assert!(time(bad).unwrap_err().contains("250ms"), "{bad:?}");
        }
        for beyond in ["-1", "-1s", "86401", "25h"] {
            assert!(time(beyond).unwrap_err().contains("24h"), "{beyond:?}");
        }
    }

    #[test]
    fn sizes_have_units_and_a_bare_number_is_bytes() {
        for (text, bytes) in [
            ("1", 1),
            ("1B", 1),
            ("64KiB", 65_536),
            ("4MiB", 4_194_304),
            ("1GiB", 1_073_741_824),
            ("4kB", 4000),
            ("4KB", 4000),
            ("4MB", 4_000_000),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        let too_large = format!("{}KiB", usize::MAX);
        for bad in ["", "0", "0MiB", "-1", "1.5GiB", "4M", "4mib", "MiB", &too_large] {
            assert!(size(bad).unwrap_err().contains("64KiB"), "{bad:?}");
        }
        assert_eq!(answer_size("512MiB"), Ok(512 << 20));
        assert!(answer_size("513MiB").is_err());
    }

    proptest! {
        #[test]
        fn a_unit_multiplies_its_number(number in 1usize..=86_400_000) {
            for (unit, factor) in SIZES {
                prop_assert_eq!(size(&format!("{number}{unit}")).ok(), number.checked_mul(factor));
            }
            let milliseconds = Duration::from_millis(number as u64);
            prop_assert_eq!(time(&format!("{number}ms")), Ok(milliseconds));
            let seconds = Duration::from_secs(number as u64);
            for (unit, factor) in [("", 1), ("s", 1), ("m", 60), ("h", 3600)] {
                let expected = Some(seconds * factor).filter(|length| *length <= DAY);
                prop_assert_eq!(time(&format!("{number}{unit}")).ok(), expected);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (time(&text), size(&text), rpc_timeout(&text));
        }
    }
}
