//! The text of a failure in the log.

use std::error::Error;

use crate::status::Failure;

/// Returns an error with its causes on one line, cut to 2 KiB.
pub(super) fn describe(failure: &Failure) -> String {
    const MOST: usize = 2048;

    let mut line = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    if line.len() > MOST {
        let end = (0..=MOST).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}
