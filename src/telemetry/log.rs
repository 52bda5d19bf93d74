//! The log: one line per event, as text or JSON, on standard error.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::fmt;

use super::{
    filter::{self, LogFilter},
    json::JsonLine,
    text::TextFields,
    timestamp::Timestamp,
    writer::Writer,
};

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

/// Starts logging through a writer to standard error. Returns the filter, which can
/// change later.
///
/// # Errors
///
/// If the filter is invalid; the text names the part.
pub fn init(filter: &str, format: Format, writer: Writer) -> Result<LogFilter, String> {
    // tracing reports a failure of its own by `eprintln!`, which can panic and block.
    let lines = fmt()
        .with_env_filter(filter::parse(filter)?)
        .with_writer(writer.clone())
        .with_timer(Timestamp)
        .fmt_fields(TextFields)
        .log_internal_errors(false);
    let filter = match format {
        // Colours are for a terminal; in a file they would be escape sequences.
        Format::Text => {
            let is_terminal = io::stderr().is_terminal();
            let lines = lines.with_ansi(is_terminal).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            LogFilter::new(filter, Box::new(move |filter| handle.reload(filter)))
        }
        Format::Json => {
            let lines = lines.event_format(JsonLine).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            LogFilter::new(filter, Box::new(move |filter| handle.reload(filter)))
        }
    };
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        error!(location, "a task panicked; this is a bug in the gateway");
        writer.flush(PANIC_LIMIT);
    }));
    Ok(filter)
}
