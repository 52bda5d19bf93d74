#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::CommandFactory;

use std::time::Duration;

use super::{parse::RpcTimeout, *};

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
