//! The log: one line per event, as text or JSON, on standard error.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use super::{json::JsonLine, text::TextFields, timestamp::Timestamp, writer::Writer};

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The wait for the line of a panic, after which the process may be gone. A standard
/// error that takes nothing must not hold up the other RPCs of the thread for longer.
const PANIC_LIMIT: Duration = Duration::from_millis(100);

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
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(writer.clone())
        .with_timer(Timestamp)
        .fmt_fields(TextFields)
        .log_internal_errors(false);
    match format {
        // Colours are for a terminal; in a file they would be escape sequences.
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        Format::Json => lines.event_format(JsonLine).init(),
    }
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        error!(location, "a task panicked; this is a bug in the gateway");
        writer.flush(PANIC_LIMIT);
    }));
    Ok(())
}
