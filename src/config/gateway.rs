//! The flags of RPCs: their time and their attempts.

use std::time::Duration;

use clap::{Args, builder::PossibleValuesParser};
use http::HeaderValue;

use super::{
    Error,
    parse::{RpcTimeout, rpc_timeout, some_time},
};
use crate::{
    contract::{API_VERSIONS, Contract, Rpc},
    gateway::{Settings, Timeouts},
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "RPCs")]
pub(super) struct GatewayFlags {
    /// Version of Polytomic's API, which must have every RPC, for clients that name none
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_API_VERSION",
        value_name = "VERSION",
        default_value = API_VERSIONS[0],
        value_parser = PossibleValuesParser::new(API_VERSIONS)
    )]
    pub(super) api_version: String,

    /// Maximum time per RPC, from its headers; also the deadline if the client
    /// sets none. Of a stream: until its first message
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = some_time
    )]
    timeout: Duration,

    /// Time replacing --timeout for one RPC (`Rpc` or `package.Service/Rpc`); of a
    /// stream, for all of it. Repeat, or separate with commas
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_RPC_TIMEOUT",
        value_name = "RPC=DURATION",
        value_delimiter = ',',
        value_parser = rpc_timeout
    )]
    pub(super) rpc_timeout: Vec<RpcTimeout>,

    /// Time until an attempt is abandoned for a retry, if at least twice this time
    /// is left; never for the last attempt, nor for a create after its body was sent
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ATTEMPT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = some_time
    )]
    attempt_timeout: Duration,

    /// Maximum attempts per RPC (1 to 10), the first included; only retryable
    /// failures are retried. A create keeps its idempotency key, and is retried on
    /// 409 until its deadline
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_ATTEMPTS",
        value_name = "NUMBER",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=10)
    )]
    attempts: u32,
}

impl GatewayFlags {
    /// Returns the settings of the gateway, if the contract has every RPC that is
    /// named, and the version has every RPC of the contract.
    pub(super) fn settings(&self, contract: &Contract) -> Result<Settings, Error> {
        self.check_version(contract)?;
        let mut timeouts = Timeouts::new(self.timeout);
        for RpcTimeout { rpc, timeout } in &self.rpc_timeout {
            timeouts
                .set(contract, rpc, *timeout)
                .map_err(|problem| Error::new(format!("--rpc-timeout: {problem}")))?;
        }
        Ok(Settings {
            api_version: HeaderValue::from_str(&self.api_version)
                .expect("the versions to choose from are visible ASCII"),
            timeouts,
            attempt_timeout: self.attempt_timeout,
            attempts: self.attempts,
        })
    }

    /// Checks that the version has every RPC: a client that names no version could
    /// not call the others.
    fn check_version(&self, contract: &Contract) -> Result<(), Error> {
        let version = &*self.api_version;
        let lacks = |rpc: &&Rpc| !rpc.options.api_versions.contains(&version);
        let Some(rpc) = contract.rpcs().find(lacks) else { return Ok(()) };
        Err(Error::new(format!(
            "--api-version: {version} does not have {}/{}; use {}",
            rpc.service,
            rpc.name,
            rpc.options.api_versions.join(" or ")
        )))
    }
}
