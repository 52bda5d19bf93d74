//! The log: one line per event, as text or JSON, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging to standard error.
///
/// # Errors
///
/// If the filter is invalid; the text names the part.
pub fn init(filter: &str, format: Format) -> Result<(), String> {
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
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        // Colours are for a terminal; in a file they would be escape sequences.
        Format::Text => {
            lines.with_ansi(io::stderr().is_terminal()).init();
        }
        Format::Json => lines.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        error!(location, "a task panicked; this is a bug in the gateway");
    }));
    Ok(())
}
