//! The configuration file and `config print`, as operators use them.

use std::{fs, path::PathBuf};

use kit::{
    Caller, CredentialFiles,
    process::{Process, command, run, run_command},
};
use tempfile::TempDir;
use tonic::Code;

/// The key that must never be found.
const CANARY: &str = "canary-7d1f9a52-key";

/// A configuration file in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gateway.toml"), content).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn flag(&self) -> String {
        format!("--config={}", self.path().display())
    }
}

/// Runs the program and returns its exit code and its two outputs.
async fn outcome(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let output = run(arguments, variables).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn gateway_is_configured_by_a_file() {
    let file = File::new(
        "listen = \"127.0.0.1:0\"\nsandbox = true\nlog-format = \"json\"\n\
         lame-duck = \"0s\"\n",
    );
    let path = file.path();
    let variable = [("POLYTOMIC_GATEWAY_CONFIG", path.to_str().unwrap())];
    for (arguments, variables) in [
        (vec!["serve", "--config", path.to_str().unwrap()], &[][..]),
        (vec!["serve"], &variable[..]),
    ] {
        let process = Process::start(&arguments, variables).await;
        assert_eq!(Caller::list(process.address).send().await.code(), Code::Ok);
        process.signal("TERM").await;
        let (code, log) = process.wait().await;
        assert_eq!(code, Some(0));
        assert!(log.starts_with('{'), "the log is not JSON: {log}");
    }
}

#[tokio::test]
async fn flags_override_variables_and_variables_override_the_file() {
    let file = File::new("attempts = 4\ntimeout = '4s'\nread-timeout = '4s'\n");
    let variables = [
        ("POLYTOMIC_GATEWAY_ATTEMPTS", "3"),
        ("POLYTOMIC_GATEWAY_TIMEOUT", "3s"),
        // Empty, and so unset.
        ("POLYTOMIC_GATEWAY_READ_TIMEOUT", ""),
    ];
    let flag = file.flag();
    let arguments = ["config", "print", &flag, "--attempts", "2"];
    let (code, printed, error) = outcome(&arguments, &variables).await;
    assert_eq!((code, &*error), (Some(0), ""));
    let place = file.path();
    for line in [
        "attempts = 2 # --attempts".to_owned(),
        "timeout = \"3s\" # POLYTOMIC_GATEWAY_TIMEOUT".to_owned(),
        format!("read-timeout = \"4s\" # {}:3", place.display()),
        "connect-timeout = \"5s\" # default".to_owned(),
        "# lame-duck is not set".to_owned(),
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
}

#[tokio::test]
async fn mistake_in_the_file_is_one_line_and_exit_code_2() {
    for (content, expected) in [
        ("\ntimeout = 'soon'", ":2: invalid value 'soon' for '--timeout <DURATION>'"),
        ("timeouts = '5s'", ":1: unknown key `timeouts` (did you mean `timeout`?)"),
        ("attempts = 1\nattempts = 2", ":2: the file is not valid TOML: duplicate key"),
        ("auth-mode = 'none'", "[possible values: passthrough, static]"),
        ("partner-key = 'canary-7d1f9a52-key'", "`partner-key` looks like a credential"),
        ("canary-7d1f9a52-key", ":1: the file is not valid TOML"),
    ] {
        let file = File::new(content);
        for command in [&["serve"][..], &["config", "print"]] {
            let flag = file.flag();
            let (code, output, error) =
                outcome(&[command, &[&*flag]].concat(), &[]).await;
            assert_eq!((code, &*output), (Some(2), ""), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(
                error.contains("gateway.toml") && error.contains(expected),
                "{error}"
            );
            assert!(!error.contains(CANARY), "{error}");
        }
    }
    let (code, _, error) = outcome(&["serve", "--config", "/nowhere"], &[]).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("the configuration file /nowhere cannot be read"), "{error}");
}

/// The output of no command has a key, wherever an operator has put it.
#[tokio::test]
async fn no_command_shows_a_secret() {
    let files = CredentialFiles::new(CANARY, &format!("{CANARY}-token"));
    let [_, _, _, key, _, token] = files.flags();
    let file = File::new(&format!(
        "partner-key-file = '{key}'\ncaller-token-file = '{token}'\nsandbox = true\n\
         auth-mode = 'static'\n"
    ));
    let url = format!("https://user:{CANARY}@polytomic.example");
    let flag = file.flag();
    let wrong_file = format!("--config={key}");
    for (arguments, variable) in [
        (vec!["config", "print", &flag], None),
        (vec!["config", "print", "--default"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (vec!["config", "print"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (vec!["serve", "--help"], Some(("POLYTOMIC_PARTNER_KEY", CANARY))),
        (vec!["serve", "--help"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["config", "print"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["serve"], Some(("POLYTOMIC_GATEWAY_UPSTREAM_URL", &url))),
        (vec!["serve", &wrong_file], None),
        (vec!["config", "print", &wrong_file], None),
    ] {
        let mut command = command(&arguments, &[]);
        command.envs(variable);
        let output = run_command(command).await;
        let written = [output.stdout, output.stderr].concat();
        let written = String::from_utf8(written).unwrap();
        assert!(!written.is_empty(), "{arguments:?}");
        assert!(!written.contains(CANARY), "{arguments:?}: {written}");
    }
}
