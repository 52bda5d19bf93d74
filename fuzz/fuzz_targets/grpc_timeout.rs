//! Compares `parse_timeout` with gRPC's grammar on any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use polytomic_gateway::gateway::parse_timeout;

fuzz_target!(|text: &[u8]| {
    let is_valid = text.split_last().is_some_and(|(unit, digits)| {
        b"HMSmun".contains(unit)
            && (1..=8).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit)
    });
    let Some(timeout) = parse_timeout(text) else {
        assert!(!is_valid, "{text:?}");
        return;
    };
    assert!(is_valid, "{text:?}");
    let amount: u128 = std::str::from_utf8(&text[..text.len() - 1])
        .expect("digits")
        .parse()
        .expect("a number");
    let unit: u128 = match text[text.len() - 1] {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        _ => 1,
    };
    assert_eq!(timeout.as_nanos(), amount * unit);
});
