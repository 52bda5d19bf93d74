//! The README's tables are the program's own. A test that fails prints what the
//! README should hold.

use std::{collections::BTreeSet, fmt::Write};

use clap::{Arg, CommandFactory};
use polytomic_gateway::{
    config::Cli,
    contract::{Body, Contract, DESCRIPTOR_SET},
};

const README: &str = include_str!("../../README.md");

/// Returns what stands between `<!-- name -->` and `<!-- /name -->`.
fn block(name: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("<!-- {name} -->\n")).unwrap();
    rest.split_once(&format!("<!-- /{name} -->")).unwrap().0
}

#[test]
fn the_flags_are_those_of_the_command_line() {
    let mut root = Cli::command();
    root.build();
    let mut table = "\
        | command | flag | variable | default | meaning |\n\
        | --- | --- | --- | --- | --- |\n"
        .to_owned();
    write_flags(&mut table, "all", root.get_arguments());
    for command in root.get_subcommands() {
        let own = command.get_arguments().filter(|flag| !flag.is_global_set());
        write_flags(&mut table, command.get_name(), own);
    }
    assert!(block("flags") == table, "README.md should hold:\n{table}");
}

fn write_flags<'a>(
    table: &mut String,
    command: &str,
    flags: impl Iterator<Item = &'a Arg>,
) {
    for flag in flags {
        // Only --help and --version have none; a test of `config` sees to that.
        let Some(variable) = flag.get_env() else { continue };
        let takes_value = flag.get_action().takes_values();
        let value = flag.get_value_names().filter(|_| takes_value);
        let value = value.map(|names| format!(" <{}>", names[0])).unwrap_or_default();
        let default = flag.get_default_values().first().filter(|_| takes_value);
        let default = default.map(|text| format!("`{}`", text.to_str().unwrap()));
        let choices: Vec<String> = flag
            .get_possible_values()
            .iter()
            .filter(|_| takes_value)
            .map(|choice| format!("`{}`", choice.get_name()))
            .collect();
        let choices = if choices.is_empty() {
            String::new()
        } else {
            format!(": {}", choices.join(", "))
        };
        writeln!(
            table,
            "| {command} | `--{}{value}` | `{}` | {} | {}{choices} |",
            flag.get_long().unwrap(),
            variable.to_str().unwrap(),
            default.unwrap_or_default(),
            flag.get_help().unwrap(),
        )
        .unwrap();
    }
}

#[test]
fn the_rpcs_are_those_of_the_contract() {
    let mut table = "| RPC | REST call | body |\n| --- | --- | --- |\n".to_owned();
    for rpc in Contract::compile(DESCRIPTOR_SET).unwrap().rpcs() {
        let body = match &rpc.binding.body {
            Body::None => "none".to_owned(),
            Body::Rest => "the other fields".to_owned(),
            Body::Field(name) => format!("`{name}`"),
        };
        let (method, path) = (&rpc.binding.method, &rpc.binding.template);
        writeln!(table, "| `{}` | `{method} {path}` | {body} |", rpc.name).unwrap();
    }
    assert!(block("rpcs") == table, "README.md should hold:\n{table}");
}

/// The README shows the rows that callers meet; `docs/STATUSES.md` has them all.
#[test]
fn the_statuses_are_the_gateways() {
    let all = include_str!("../../docs/STATUSES.md");
    let mut rows = all.lines();
    let mut shown = BTreeSet::new();
    for row in block("statuses").lines() {
        // In the same order, so that the first row that names a status decides.
        assert!(
            rows.any(|other| other == row),
            "not a row of docs/STATUSES.md, or out of order:\n{row}"
        );
        shown.extend(
            row.split(" | ").next().unwrap().trim_start_matches("| ").split(", "),
        );
    }
    for status in [
        "200", "400", "401", "403", "404", "409", "422", "429", "500", "502", "503",
        "504",
    ] {
        assert!(shown.contains(status), "{status} has no row");
    }
}
