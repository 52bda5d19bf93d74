//! What the process says about itself: its log.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error.
///
/// # Errors
///
/// If the filter is not understood; says which part.
pub fn init(filter: &str, format: Format) -> Result<(), String> {
    let stray = filter
        .split(',')
        .map(str::trim)
        .find(|part| !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err());
    if let Some(stray) = stray {
        return Err(format!(
            "the log filter is not understood: {stray:?} is no level; give error, warn, \
             info, debug or trace"
        ));
    }
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("the log filter is not understood: {error}"))?;
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        // Colours only for a person at a terminal: elsewhere they are noise.
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
