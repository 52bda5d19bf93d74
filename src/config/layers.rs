//! Flags over variables over the file over defaults.
//!
//! The file is read first. Its values become the defaults of their flags, so clap itself
//! ranks and parses all of them, and a setting is declared once: as a flag.

use std::{ffi::OsString, fmt, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind, parser::ValueSource};

use super::{
    declaration::{self, FILE_FLAG, Kind, declarations},
    environment,
    file::{self, Entry, Place},
};
use crate::upstream::BaseUrl;

/// The command whose flags are the settings.
const SERVE: &str = "serve";

/// A setting in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name: of the flag without `--`, or of a variable that has no flag.
    pub name: String,
    /// The value, which has no secret, in the form of the file; `None` if there is none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag, by its name.
    Flag(String),
    /// A variable, by its name.
    Variable(String),
    /// A line of the configuration file.
    File(Place),
    /// The gateway itself.
    Default,
}

/// A command line with the layers below it.
pub(super) struct Layered {
    pub(super) matches: ArgMatches,
    /// The settings in effect; none for a command that takes no file.
    pub(super) settings: Vec<Setting>,
}

/// Returns a command as the program has it. Each switch also takes a value, so that
/// `--switch=false` overrides a variable or the file.
pub(super) fn adapt(command: Command) -> Command {
    command
        .mut_args(|flag| match flag.get_action() {
            ArgAction::SetTrue if flag.get_env().is_some() => flag
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .hide_default_value(true)
                .hide_possible_values(true)
                .value_name("BOOL"),
            _ => flag,
        })
        .mut_subcommands(adapt)
}

/// Reads a command line, the variables, and the file that they name.
pub(super) fn parse<A>(
    command: Command,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Layered, clap::Error>
where
    A: Into<OsString>,
{
    let command = adapt(command);
    // With each variable, the empty ones too.
    let serve = serve(&command);
    let mut command = environment::without_empty_variables(command);
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut matches = command.clone().try_get_matches_from(&arguments)?;
    if !takes_file(&command, &matches) {
        return Ok(Layered { matches, settings: Vec::new() });
    }
    let mut entries = Vec::new();
    if let Some(path) = last(&matches).get_one::<PathBuf>(FILE_FLAG) {
        entries = file::read(path, &declarations(&serve))
            .map_err(|problem| command.error(ErrorKind::Io, problem))?;
        check(&command, &entries)
            .map_err(|problem| command.error(ErrorKind::ValueValidation, problem))?;
        command = with_defaults(command, &entries);
        matches = command.try_get_matches_from(&arguments)?;
    }
    let settings = declaration::flags(&serve)
        .filter_map(|flag| Setting::of(flag, last(&matches), &entries))
        .collect();
    Ok(Layered { matches, settings })
}

/// Returns the command that declares the settings, with the flags that all commands have.
pub(super) fn serve(command: &Command) -> Command {
    let mut command = command.clone();
    command.build();
    command.find_subcommand(SERVE).expect("there is this command").clone()
}

/// Reports whether the command of a command line has the flag for a file.
fn takes_file(command: &Command, matches: &ArgMatches) -> bool {
    let below = matches.subcommand();
    let below = below.and_then(|(name, of)| Some((command.find_subcommand(name)?, of)));
    match below {
        Some((command, matches)) => takes_file(command, matches),
        None => command.get_arguments().any(|flag| flag.get_id() == FILE_FLAG),
    }
}

/// Returns what the last command of a command line has, flags of all commands included.
fn last(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| last(below))
}

/// Checks each value of the file as if it were the only one on the command line.
fn check(command: &Command, entries: &[Entry]) -> Result<(), String> {
    let alone = without_variables(command.clone());
    for Entry { key, values, place } in entries {
        let flags = values.iter().map(|value| format!("--{key}={value}"));
        let arguments = ["", SERVE].map(ToOwned::to_owned).into_iter().chain(flags);
        if let Err(error) = alone.clone().try_get_matches_from(arguments) {
            let text = error.render().to_string();
            let problem = text.split("\n\n").next().unwrap_or_default();
            return Err(format!("{place}: {}", problem.trim_start_matches("error: ")));
        }
    }
    Ok(())
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|flag| flag.env(None::<&str>)).mut_subcommands(without_variables)
}

fn with_defaults(command: Command, entries: &[Entry]) -> Command {
    command
        .mut_args(|flag| {
            let entry = entries.iter().find(|entry| flag.get_long() == Some(&entry.key));
            match entry {
                Some(entry) => flag.default_values(entry.values.clone()),
                None => flag,
            }
        })
        .mut_subcommands(|below| with_defaults(below, entries))
}

impl Setting {
    fn of(flag: &Arg, matches: &ArgMatches, entries: &[Entry]) -> Option<Self> {
        let (name, id) = (flag.get_long()?, flag.get_id().as_str());
        let texts = matches.try_get_raw(id).ok()?.map(|texts| {
            let texts: Vec<_> = texts.map(|text| text.to_string_lossy()).collect();
            texts.join(",")
        });
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Source::Flag(format!("--{name}")),
            Some(ValueSource::EnvVariable) => {
                Source::Variable(flag.get_env()?.to_string_lossy().into_owned())
            }
            _ => entries
                .iter()
                .find(|entry| entry.key == name)
                .map_or(Source::Default, |entry| Source::File(entry.place.clone())),
        };
        let is_hidden = |text: &String| is_url_to_hide(flag, text);
        let value = match (texts, Kind::of(flag)) {
            (Some(text), _) if is_hidden(&text) => {
                Some("(not shown: not valid)".to_owned())
            }
            // A flag and a variable take `yes` and `03`, too; the file does not.
            (_, Kind::Switch) => matches.get_one::<bool>(id).map(bool::to_string),
            (Some(text), Kind::Number) => {
                Some(text.parse::<u64>().map_or(text, |number| number.to_string()))
            }
            (shown, _) => shown,
        };
        Some(Self { name: name.to_owned(), value, source })
    }
}

/// Reports whether a value is a URL with something in it that the gateway does not take,
/// such as a password.
fn is_url_to_hide(flag: &Arg, text: &str) -> bool {
    let is_url = flag.get_value_names().is_some_and(|names| names[0] == "URL");
    is_url && text.parse::<BaseUrl>().is_err()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File(place) => place.fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}
