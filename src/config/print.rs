//! The configuration as a file, for operators to keep: the defaults, or what is in effect.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    cli::{ConfigCommand, declarations},
    declaration::{Declaration, FILE_FLAG, Kind},
    layers::Setting,
    schema::schema,
};

/// The columns of a line, at most.
const WIDTH: usize = 90;

/// Writes what a command shows of the configuration.
///
/// # Errors
///
/// If it cannot be written.
pub fn run(command: &ConfigCommand, out: &mut impl Write) -> io::Result<()> {
    let declarations = declarations();
    let text = match command {
        ConfigCommand::Print(flags) if flags.default => defaults(&declarations),
        ConfigCommand::Print(flags) => in_effect(flags.serve.in_effect(), &declarations),
        ConfigCommand::Schema => format!("{:#}\n", schema(&declarations)),
    };
    out.write_all(text.as_bytes())
}

/// Returns a file with every setting. What has no default is in a comment.
#[must_use]
pub fn defaults(declarations: &[Declaration]) -> String {
    let mut file = comment(
        "Every setting of polytomic-gateway with its default. A flag overrides its \
         variable, which overrides this file. Keep the lines that you change: the defaults \
         of a later version may differ. docs/configuration.md has the details.",
    );
    let mut heading = "";
    for setting in declarations {
        if setting.heading != heading {
            heading = &setting.heading;
            let _ = write!(file, "\n# ---- {heading} ----\n");
        }
        let _ = write!(file, "\n{}", comment(&setting.description()));
        let _ = match &setting.default {
            Some(default) => {
                writeln!(file, "{} = {}", setting.key, literal(setting, default))
            }
            None => writeln!(
                file,
                "# {} = {}",
                setting.key,
                literal(setting, &format!("<{}>", setting.value_name))
            ),
        };
    }
    file
}

/// Returns a file with the settings in effect, each with its source.
#[must_use]
pub fn in_effect(settings: &[Setting], declarations: &[Declaration]) -> String {
    let mut file = String::new();
    for Setting { name, value, source } in settings {
        let declaration = declarations.iter().find(|setting| setting.key == *name);
        let _ = match (declaration, value) {
            (Some(setting), Some(value)) => {
                writeln!(file, "{name} = {} # {source}", literal(setting, value))
            }
            (Some(_), None) => writeln!(file, "# {name} is not set"),
            // No file may have these.
            (None, Some(value)) if name == FILE_FLAG => {
                writeln!(file, "# Configuration file: {value} ({source})")
            }
            (None, Some(value)) => writeln!(file, "# {name}: {value}"),
            (None, None) => Ok(()),
        };
    }
    file
}

/// Returns a value as TOML.
fn literal(setting: &Declaration, text: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    match setting.kind {
        Kind::Switch | Kind::Number => text.to_owned(),
        Kind::Duration | Kind::Size | Kind::Text => quoted(text),
        Kind::List => {
            let elements: Vec<_> = text.split(',').map(quoted).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

/// Returns a text as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > WIDTH) {
            lines.push("#".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
