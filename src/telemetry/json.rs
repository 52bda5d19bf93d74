//! The JSON line of an event.
//!
//! tracing has such a format, too. It hands each piece of a line through several
//! layers, and computes the date anew. The line of an RPC took it 23,000 instructions,
//! a sixth of what the gateway did for that RPC; here it takes 7,000.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

use super::timestamp::Timestamp;

/// Bytes of a line with room to spare: that of an RPC has about 600.
const USUAL: usize = 1024;

/// Writes an object with the time, the level, the fields, the target and the spans.
#[derive(Debug)]
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let of_log_crate = event.normalized_metadata();
        let metadata = of_log_crate.as_ref().unwrap_or_else(|| event.metadata());
        let mut line = String::with_capacity(USUAL);
        line.push_str("{\"timestamp\":\"");
        Timestamp::write(&mut line)?;
        line.push_str("\",\"level\":\"");
        line.push_str(metadata.level().as_str());
        line.push('"');
        let mut fields = Fields { line, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        let mut line = fields.line;
        line.push_str(",\"target\":");
        push_text(&mut line, metadata.target());
        if let Some(spans) = context.event_scope() {
            line.push_str(",\"spans\":");
            let mut separator = '[';
            for span in spans.from_root() {
                line.push(separator);
                separator = ',';
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<N>>();
                let fields = fields.map_or("", |fields| &fields.fields);
                push_text(&mut line, &format!("{}{{{fields}}}", span.name()));
            }
            line.push(']');
        }
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// Writes `,"name":value` for each field.
struct Fields {
    line: String,
    result: fmt::Result,
}

impl Fields {
    /// Writes the name of a field, and returns the line for its value.
    fn name(&mut self, field: &Field) -> &mut String {
        self.line.push_str(",\"");
        push_escaped(&mut self.line, field.name());
        self.line.push_str("\":");
        &mut self.line
    }

    fn display(&mut self, field: &Field, value: impl fmt::Display) {
        let written = write!(self.name(field), "{value}");
        self.result = self.result.and(written);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let line = self.name(field);
        line.push('"');
        let written = write!(Escaped(line), "{value:?}");
        line.push('"');
        self.result = self.result.and(written);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        push_text(self.name(field), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.display(field, format_args!("{value:?}"));
        } else {
            // JSON has no other numbers.
            self.display(field, "null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.display(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.display(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.display(field, value);
    }
}

/// Adds a text in quotes.
fn push_text(line: &mut String, text: &str) {
    line.push('"');
    push_escaped(line, text);
    line.push('"');
}

/// The inside of a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

fn push_escaped(line: &mut String, text: &str) {
    // Eight bytes at a time, without a branch for each. Most names and texts are too short
    // for more.
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    if !eights.iter().any(|eight| has_escaped(eight)) && !has_escaped(rest) {
        line.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\u{8}' => line.push_str("\\b"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\u{c}' => line.push_str("\\f"),
            '\r' => line.push_str("\\r"),
            '\0'..' ' => {
                line.push_str("\\u00");
                for digit in [u32::from(character) / 16, u32::from(character) % 16] {
                    line.extend(char::from_digit(digit, 16));
                }
            }
            other => line.push(other),
        }
    }
}

fn has_escaped(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | is_escaped(*byte))
}

/// Reports whether a JSON string cannot contain a byte as it is: RFC 8259, section 7.
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        io,
        sync::mpsc::{Sender, channel},
        time::Duration,
    };

    use proptest::prelude::*;
    use tracing::{info, info_span};

    use super::{
        super::{text::TextFields, writer::Writer},
        *,
    };

    const LIMIT: Duration = Duration::from_secs(60);

    /// Returns the lines of `events`, without their times.
    fn lines(events: impl FnOnce()) -> Vec<String> {
        struct Output(Sender<Vec<u8>>);
        impl io::Write for Output {
            fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
                self.0.send(lines.to_vec()).map_err(io::Error::other)?;
                Ok(lines.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (written, output) = channel();
        let writer = Writer::to(Output(written)).unwrap();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLine)
            .fmt_fields(TextFields)
            .with_writer(writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, events);
        writer.flush(LIMIT);
        let lines = String::from_utf8(output.try_iter().flatten().collect()).unwrap();
        let time = r#"{"timestamp":"2026-11-28T03:12:15.089386Z","#.len();
        lines.lines().map(|line| line[time..].to_owned()).collect()
    }

    #[test]
    fn values_have_their_types() {
        let lines = lines(|| {
            info!(
                target: "rpc",
                text = "a \"b\"",
                shown = %"c\n",
                debugged = ?Some("d"),
                none = None::<u64>,
                count = 3,
                negative = -1,
                seconds = 0.5,
                whole = 2.0,
                tiny = 1e-9,
                infinite = f64::INFINITY,
                changed = true,
                "an {}",
                "event"
            );
        });
        let expected = concat!(
            r#""level":"INFO","message":"an event","text":"a \"b\"","shown":"c\n","#,
            r#""debugged":"Some(\"d\")","count":3,"negative":-1,"seconds":0.5,"#,
            r#""whole":2.0,"tiny":1e-9,"infinite":null,"changed":true,"target":"rpc"}"#,
        );
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn spans_follow_the_target() {
        let lines = lines(|| {
            let _outer = info_span!("connection", peer = "client").entered();
            let _inner = info_span!("poll").entered();
            info!(target: "h2", "event");
        });
        let expected = concat!(
            r#""level":"INFO","message":"event","target":"h2","#,
            r#""spans":["connection{peer=\"client\"}","poll{}"]}"#,
        );
        assert_eq!(lines, [expected]);
    }

    proptest! {
        #[test]
        fn text_is_the_json_of_serde(text in any::<String>()) {
            let mut line = String::new();
            push_text(&mut line, &text);
            prop_assert_eq!(line, serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn control_characters_are_the_json_of_serde() {
        let text: String = ('\0'..='\u{ff}').collect();
        let mut line = String::new();
        push_text(&mut line, &text);
        assert_eq!(line, serde_json::to_string(&text).unwrap());
    }
}
