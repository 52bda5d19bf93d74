//! The fields of a text line: a text in quotes, a number or a truth value without.
//!
//! tracing's own format quotes a value by how the code passes it, so that one line
//! has `upstream="…"` beside `address=…`.

use std::fmt::{self, Debug, Display, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format},
};

/// Writes the message, then each field as `name=value`.
#[derive(Debug)]
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(
        &self,
        writer: format::Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut visitor = Visitor { writer, separator: "", result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: format::Writer<'writer>,
    separator: &'static str,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: &dyn Display) {
        // Lines of the `log` crate repeat their target in such fields.
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        let separator = self.separator;
        self.separator = " ";
        self.result = if field.name() == "message" {
            write!(self.writer, "{separator}{value}")
        } else {
            write!(self.writer, "{separator}{}={value}", field.name())
        };
    }

    fn write_text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.write(field, &OneLine(text));
        } else {
            self.write(field, &format_args!("{text:?}"));
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_text(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, &value);
    }
}

/// A text without control characters, which could end the line or move the cursor of
/// a terminal.
struct OneLine<'a>(&'a str);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        io,
        net::Ipv4Addr,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_text_is_quoted_and_no_number_is() {
        let written = Written::default();
        let output = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_level(false)
            .with_target(false)
            .fmt_fields(TextFields)
            .with_writer(move || output.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let address = Ipv4Addr::LOCALHOST;
            tracing::info!(
                %address,
                url = "a b",
                debugged = ?Some(1),
                none = None::<u64>,
                forged = %"x\" y=\"\n",
                count = 3,
                seconds = 0.5,
                changed = true,
                "a {}", "message\n"
            );
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            line,
            "a message\\n address=\"127.0.0.1\" url=\"a b\" debugged=\"Some(1)\" \
             forged=\"x\\\" y=\\\"\\n\" count=3 seconds=0.5 changed=true\n"
        );
    }
}
