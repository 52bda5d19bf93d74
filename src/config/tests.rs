#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::CommandFactory;

use std::time::Duration;

use super::{
    parse::{RpcTimeout, seconds},
    *,
};

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
        match Cli::try_parse_from(command).map(|cli| cli.command) {
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
fn a_duration_is_a_bounded_number_of_seconds() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["", "1s", "-1", "NaN", "inf", "1e300", "86401"] {
        assert!(seconds(bad).is_err(), "{bad:?}");
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
    assert_eq!(arguments(&["--rpc-timeout", "List=5,a.v1.B/Create=60"]), both);
    let twice = ["--rpc-timeout", "List=5", "--rpc-timeout", "a.v1.B/Create=60"];
    assert_eq!(arguments(&twice), both);
}
