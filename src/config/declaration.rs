//! The settings as data, as their flags declare them: for the configuration file, its
//! schema and its page.

use clap::{Arg, ArgAction, Command};

/// The flag that names the configuration file, which the file cannot.
pub(super) const FILE_FLAG: &str = "config";

/// The heading of the flags of credentials.
pub(super) const CREDENTIALS: &str = "Credentials";

/// A setting, as its flag declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The key in the file. The flag is the same, after `--`.
    pub key: String,
    /// The variable.
    pub variable: String,
    /// What values it takes.
    pub kind: Kind,
    /// The name of its value in `--help`.
    pub value_name: String,
    /// The text of its default, if it has one that depends on no other setting.
    pub default: Option<String>,
    /// The values to choose from, if they are few.
    pub choices: Vec<String>,
    /// What it does, in sentences without a full stop at the end.
    pub meaning: String,
    /// The heading in `--help`.
    pub heading: String,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Switch,
    /// A time: a number with a unit, or a number of seconds.
    Duration,
    /// A size: a whole number with a unit, or a number of bytes.
    Size,
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// Any number of texts.
    List,
}

impl Declaration {
    fn of(flag: &Arg) -> Option<Self> {
        let choices = flag.get_possible_values();
        let kind = Kind::of(flag);
        Some(Self {
            key: flag.get_long()?.to_owned(),
            variable: flag.get_env()?.to_string_lossy().into_owned(),
            kind,
            value_name: value_name(flag).to_owned(),
            default: flag
                .get_default_values()
                .first()
                .map(|text| text.to_string_lossy().into_owned()),
            choices: choices
                .iter()
                .filter(|_| kind != Kind::Switch)
                .map(|choice| choice.get_name().to_owned())
                .collect(),
            meaning: flag.get_help().map(ToString::to_string).unwrap_or_default(),
            heading: flag.get_help_heading().unwrap_or("Options").to_owned(),
        })
    }

    /// Returns what it does, with its choices.
    #[must_use]
    pub fn description(&self) -> String {
        let Self { meaning, choices, .. } = self;
        if choices.is_empty() {
            return meaning.clone();
        }
        let choices: Vec<_> =
            choices.iter().map(|choice| format!("`{choice}`")).collect();
        format!("{meaning}: {}", choices.join(", "))
    }

    /// Reports whether the setting names a file that holds a credential.
    pub(super) fn is_of_credential_file(&self) -> bool {
        self.heading == CREDENTIALS && self.key.ends_with("-file")
    }
}

impl Kind {
    pub(super) fn of(flag: &Arg) -> Self {
        match value_name(flag) {
            _ if is_switch(flag) => Self::Switch,
            _ if matches!(flag.get_action(), ArgAction::Append) => Self::List,
            "DURATION" => Self::Duration,
            "SIZE" => Self::Size,
            "NUMBER" => Self::Number,
            _ => Self::Text,
        }
    }

    /// Returns what to write in the file.
    pub(super) fn form(self) -> &'static str {
        match self {
            Self::Switch => "true or false, without quotes",
            Self::Duration => "a time in quotes, such as \"5s\", or a number of seconds",
            Self::Size => "a size in quotes, such as \"4MiB\", or a number of bytes",
            Self::Number => "a whole number, without quotes",
            Self::Text => "a text in quotes",
            Self::List => "a list of texts, such as [\"one\", \"two\"]",
        }
    }
}

/// Returns the settings of a command: its flags that have a variable, which all have but
/// `--help`.
pub(super) fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|flag| {
        flag.get_env().is_some() && flag.get_long().is_some() && !flag.is_hide_set()
    })
}

/// Returns the settings of a command that its file may have, by their headings.
pub(super) fn declarations(command: &Command) -> Vec<Declaration> {
    let mut declarations: Vec<_> = flags(command)
        .filter_map(Declaration::of)
        .filter(|setting| setting.key != FILE_FLAG)
        .collect();
    let mut headings: Vec<String> = Vec::new();
    for Declaration { heading, .. } in &declarations {
        if !headings.contains(heading) {
            headings.push(heading.clone());
        }
    }
    declarations.sort_by_key(|setting| {
        headings.iter().position(|heading| *heading == setting.heading)
    });
    declarations
}

/// Reports whether a flag is true or false.
pub(super) fn is_switch(flag: &Arg) -> bool {
    flag.get_value_parser().type_id() == std::any::TypeId::of::<bool>()
}

/// Reports whether a key names a credential, or a file that holds one.
pub(super) fn is_like_credential(key: &str) -> bool {
    let key = key.to_lowercase();
    ["key", "token", "secret", "password", "credential", "authorization"]
        .iter()
        .any(|word| key.contains(word))
}

fn value_name(flag: &Arg) -> &str {
    flag.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str())
}
