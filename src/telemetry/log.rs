//! The log: one line per event, as text or JSON, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use super::{text::TextFields, writer::Writer};

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging through a writer to standard error.
///
/// # Errors
///
/// If the filter is invalid; the text names the part.
pub fn init(filter: &str, format: Format, writer: Writer) -> Result<(), String> {
    let stray = filter
        .split(',')
        .map(str::trim)
        .find(|part| !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err());
    if let Some(stray) = stray {
        return Err(format!(
            "the log filter is invalid: {stray:?} is not a level; use error, warn, info, \
             debug or trace"
        ));
    }
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("the log filter is invalid: {error}"))?;
    // tracing reports a failure of its own by `eprintln!`, which can panic and block.
    let lines =
        fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    match format {
        // Colours are for a terminal; in a file they would be escape sequences.
        Format::Text => {
            lines.with_ansi(io::stderr().is_terminal()).fmt_fields(TextFields).init();
        }
        Format::Json => lines.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        error!(location, "a task panicked; this is a bug in the gateway");
    }));
    Ok(())
}
