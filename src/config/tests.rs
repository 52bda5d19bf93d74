#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::Duration};

use clap::{CommandFactory, Parser};

use super::{layers, parse::RpcTimeout, *};
use crate::telemetry::Format;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_has_a_variable() {
    for command in Cli::command().get_subcommands() {
        for flag in command.get_arguments().filter(|flag| flag.get_long().is_some()) {
            let name = flag.get_long().unwrap();
            if name == "help" || name == "version" {
                continue;
            }
            let variable = flag.get_env().unwrap().to_str().unwrap();
            let expected =
                format!("POLYTOMIC_GATEWAY_{}", name.replace('-', "_").to_uppercase());
            assert_eq!(variable, expected);
        }
    }
}

#[test]
fn gateways_on_the_sandbox_compete_for_no_admin_port() {
    let listen = |flags: &[&str]| {
        let command = ["polytomic-gateway", "serve"].iter().chain(flags);
        match Cli::from_arguments(command).map(|cli| cli.command) {
            Ok(Command::Serve(flags)) => Ok(flags.admin.listen(flags.upstream.sandbox)),
            Ok(other) => panic!("not serve: {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let address = |text: &str| Ok(Some(text.parse().unwrap()));
    assert_eq!(listen(&[]), address("127.0.0.1:9464"));
    assert_eq!(listen(&["--sandbox"]), Ok(None));
    let any_port = ["--sandbox", "--admin-listen", "127.0.0.1:0"];
    assert_eq!(listen(&any_port), address("127.0.0.1:0"));
    assert_eq!(listen(&["--admin-listen", "off"]), Ok(None));
    for invalid in ["", "on", "localhost:9464", "9464"] {
        let error = listen(&["--admin-listen", invalid]).unwrap_err();
        assert!(error.contains("such as 127.0.0.1:9464, or off"), "{error}");
    }
}

#[test]
fn rpc_timeouts_are_repeated_or_separated_by_commas() {
    let own = |rpc: &str, seconds| RpcTimeout {
        rpc: rpc.to_owned(),
        timeout: Duration::from_secs(seconds),
    };
    let both = vec![own("List", 5), own("a.v1.B/Create", 60)];
    let arguments = |flags: &[&str]| {
        let command = ["polytomic-gateway", "serve"].iter().chain(flags);
        match Cli::try_parse_from(command).unwrap().command {
            Command::Serve(flags) => flags.gateway.rpc_timeout,
            other => panic!("not serve: {other:?}"),
        }
    };
    assert_eq!(arguments(&[]), []);
    assert_eq!(arguments(&["--rpc-timeout", "List=5,a.v1.B/Create=1m"]), both);
    let twice = ["--rpc-timeout", "List=5", "--rpc-timeout", "a.v1.B/Create=60"];
    assert_eq!(arguments(&twice), both);
}

/// Reads a command line of `serve` with a configuration file.
fn with_file(content: &str, flags: &[&str]) -> Result<Cli, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, content).unwrap();
    let file = file.to_str().unwrap();
    let command = ["polytomic-gateway", "serve", "--config", file];
    Cli::from_arguments(command.iter().chain(flags).copied())
        .map_err(|error| error.render().to_string().replace(file, "gateway.toml"))
}

fn serve(cli: Cli) -> Serve {
    match cli.command {
        Command::Serve(flags) => *flags,
        other => panic!("not serve: {other:?}"),
    }
}

/// Returns the value of a setting in effect, and its source.
fn shown(flags: &Serve, name: &str) -> (String, String) {
    let found = flags.in_effect().iter().find(|setting| setting.name == name).unwrap();
    let source = match &found.source {
        Source::File(place) => format!("line {}", place.line),
        other => other.to_string(),
    };
    (found.value.clone().unwrap_or_default(), source)
}

#[test]
fn flags_override_the_file_and_the_file_overrides_defaults() {
    let file = "listen = '127.0.0.1:7'\nattempts = 5\nsandbox = true\n\
        no-key-check = true\nlog = 'debug'\nlog-format = 'json'\n\
        rpc-timeout = ['List=5s', 'Create=1m']\n";
    let cli = with_file(file, &["--attempts", "2", "--no-key-check=false"]).unwrap();
    assert_eq!((cli.log.as_deref(), cli.log_format), (Some("debug"), Format::Json));
    let flags = serve(cli);
    let of = |setting| shown(&flags, setting);
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(flags.listen.port(), 7);
    assert_eq!(of("listen"), pair("127.0.0.1:7", "line 1"));
    assert_eq!(of("attempts"), pair("2", "--attempts"));
    assert_eq!(of("sandbox"), pair("true", "line 3"));
    assert!(flags.upstream.sandbox);
    assert_eq!(of("no-key-check"), pair("false", "--no-key-check"));
    assert_eq!(of("log"), pair("debug", "line 5"));
    assert_eq!(of("timeout"), pair("30s", "default"));
    assert_eq!(of("rpc-timeout"), pair("List=5s,Create=1m", "line 7"));
    let timeouts: Vec<_> =
        flags.gateway.rpc_timeout.iter().map(|own| (&*own.rpc, own.timeout)).collect();
    let (list, create) = (Duration::from_secs(5), Duration::from_secs(60));
    assert_eq!(timeouts, [("List", list), ("Create", create)]);
    assert_eq!(of("partner-key-file"), pair("", "default"));
}

#[test]
fn values_of_the_file_are_checked_like_flags() {
    for (line, expected) in [
        (
            "timeout = 'soon'",
            "invalid value 'soon' for '--timeout <DURATION>': give a time",
        ),
        ("timeout = 0", "give more than 0"),
        ("attempts = 11", "11 is not in 1..=10"),
        ("auth-mode = 'none'", "[possible values: passthrough, static]"),
        ("partner-key-file = ''", "a value is required for '--partner-key-file"),
        ("rpc-timeout = ['List']", "give an RPC, = and its timeout"),
        ("log-format = 'xml'", "[possible values: text, json]"),
        ("log = 'verbose'", "'--log <FILTER>': \"verbose\" is not a level; use error"),
    ] {
        // A flag that would override the value does not make it right.
        let error = with_file(&format!("\n{line}\n"), &["--timeout", "1s"]).unwrap_err();
        let expected_place = "error: gateway.toml:2: ";
        assert!(error.starts_with(expected_place), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn defaults_that_depend_on_other_settings_are_shown() {
    for (file, expected) in [
        ("", ["127.0.0.1:9464", "https://app.polytomic.com", "5s", "off"]),
        ("sandbox = true\ntls-client-ca-file = 'ca.pem'", ["off", "", "0s", "required"]),
        (
            "admin-listen = 'off'\nlame-duck = '2s'\ntls-client-auth = 'optional'",
            ["off", "https://app.polytomic.com", "2s", "optional"],
        ),
    ] {
        let flags = serve(with_file(file, &[]).unwrap());
        let found = ["admin-listen", "upstream-url", "lame-duck", "tls-client-auth"]
            .map(|name| shown(&flags, name).0);
        assert_eq!(found, expected, "{file}");
    }
}

#[test]
fn health_check_asks_where_a_gateway_with_the_same_file_listens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let address = |content: &str, flags: &[&str]| {
        fs::write(&file, content).unwrap();
        let command = ["polytomic-gateway", "healthcheck", "--config"];
        let arguments = [&command[..], &[file.to_str().unwrap()], flags].concat();
        match Cli::from_arguments(arguments).unwrap().command {
            Command::HealthCheck(flags) => {
                flags.address().map(|address| address.to_string())
            }
            other => panic!("not healthcheck: {other:?}"),
        }
    };
    let listens = "admin-listen = '0.0.0.0:7'\nattempts = 5\n";
    assert_eq!(address(listens, &[]).as_deref(), Some("127.0.0.1:7"));
    let flag = ["--admin-listen", "127.0.0.1:8"];
    assert_eq!(address(listens, &flag).as_deref(), Some("127.0.0.1:8"));
    assert_eq!(address("", &[]).as_deref(), Some("127.0.0.1:9464"));
    assert_eq!(address("admin-listen = 'off'", &[]), None);
    assert_eq!(address("sandbox = true", &[]), None);
}

#[test]
fn url_with_a_password_is_not_shown() {
    let file = "upstream-url = 'https://u:canary@polytomic.example'\n";
    let flags = serve(with_file(file, &[]).unwrap());
    assert_eq!(shown(&flags, "upstream-url").0, "(not shown: not valid)");
}

#[test]
fn printed_defaults_are_a_file_with_the_defaults() {
    let printed = print::defaults(&declarations());
    let flags = serve(with_file(&printed, &[]).unwrap());
    let by_default = serve(Cli::from_arguments(["polytomic-gateway", "serve"]).unwrap());
    for (one, other) in flags.in_effect().iter().zip(by_default.in_effect()).skip(1) {
        assert_eq!((&one.name, &one.value), (&other.name, &other.value));
        let declarations = declarations();
        let declared = declarations.iter().find(|setting| setting.key == one.name);
        let is_in_file = matches!(one.source, Source::File(_));
        assert_eq!(is_in_file, declared.unwrap().default.is_some(), "{}", one.name);
    }
    for setting in declarations() {
        let line = format!("{} = ", setting.key);
        let is_line = |found: &str| found.trim_start_matches("# ").starts_with(&line);
        assert!(printed.lines().any(is_line), "{line}");
    }
    assert!(printed.lines().all(|line| line.len() <= 100), "{printed}");
}

#[test]
fn printed_settings_are_a_file_with_the_same_settings() {
    let chosen = "listen = '127.0.0.1:7'\nsandbox = true\nanswer-limit = 4096\n\
        partner-key-file = 'a\"b\\c'\nrpc-timeout = ['List=5s', 'Create=1m']\n";
    let first =
        serve(with_file(chosen, &["--attempts", "02", "--no-key-check=on"]).unwrap());
    let printed = print::in_effect(first.in_effect(), &declarations());
    let again = serve(with_file(&printed, &[]).unwrap());
    let values = |flags: &Serve| {
        let settings = flags.in_effect().iter().skip(1).cloned();
        settings.map(|setting| (setting.name, setting.value)).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&again), "{printed}");
    assert!(printed.contains("attempts = 2 # --attempts"), "{printed}");
    assert!(printed.contains("no-key-check = true # --no-key-check"), "{printed}");
}

#[test]
fn names_of_values_follow_their_types() {
    let command = layers::serve(&layers::adapt(Cli::command()));
    for flag in declaration::flags(&command) {
        let name = flag.get_value_names().unwrap()[0].as_str();
        let is_time =
            flag.get_value_parser().type_id() == std::any::TypeId::of::<Duration>();
        assert_eq!(name == "DURATION", is_time, "{flag}");
        let known = [
            "ADDRESS",
            "BOOL",
            "DURATION",
            "FILE",
            "FILTER",
            "FORMAT",
            "MODE",
            "NUMBER",
            "RPC=DURATION",
            "SIZE",
            "URL",
            "VERSION",
            "WHEN",
        ];
        assert!(known.contains(&name), "{flag}: add the name, and its type to `Kind`");
        assert!(flag.get_help_heading().is_some() || name == "FILE", "{flag}");
    }
}

#[test]
fn only_commands_of_the_gateway_read_the_file() {
    let demo = Cli::from_arguments(["polytomic-gateway", "demo"]);
    assert!(matches!(demo.unwrap().command, Command::Demo));
    let with = ["polytomic-gateway", "sandbox", "--config", "none.toml"];
    assert!(Cli::from_arguments(with).is_err());
}
