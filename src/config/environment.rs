//! What the process was started with: its arguments and its variables.

#![expect(
    clippy::disallowed_methods,
    reason = "clap reads the variables of flags; these are the others"
)]

use std::{
    env::{self, VarError},
    ffi::OsString,
};

use clap::Command;
use secrecy::SecretString;
use tracing::warn;

/// The variable that holds a partner key. Not a flag, which would show the key
/// in the list of processes.
pub(super) const PARTNER_KEY: &str = "POLYTOMIC_PARTNER_KEY";

/// What an editor may have put before the content of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The variables with which other programs choose a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Returns the command line.
pub(super) fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os()
}

/// Makes flags ignore variables that are empty, as templates of deployments leave
/// those of settings that are not set.
pub(super) fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|flag| match flag.get_env().and_then(env::var_os) {
            Some(value) if value.is_empty() => flag.env(None::<&str>),
            _ => flag,
        })
        .mut_subcommands(without_empty_variables)
}

/// Returns the partner key of the variable, if it has one. The error shows none
/// of it.
pub(super) fn partner_key() -> Result<Option<SecretString>, String> {
    match env::var(PARTNER_KEY) {
        Ok(mut key) => {
            if key.starts_with(BYTE_ORDER_MARK) {
                // In place: a copy would stay in memory.
                key.remove(0);
            }
            Ok(Some(key).filter(|key| !key.is_empty()).map(SecretString::from))
        }
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{PARTNER_KEY} is not UTF-8")),
    }
}

/// Logs the proxy variables that are set. Their values may have passwords.
pub(super) fn warn_of_proxies() {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let variables: Vec<&str> = PROXIES.into_iter().filter(is_set).collect();
    if !variables.is_empty() {
        warn!(
            variables = variables.join(", "),
            "proxy variables are set but not used: the gateway connects directly"
        );
    }
}
