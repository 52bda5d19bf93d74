//! The values of flags, from text.
//!
//! Each error says what to give instead; clap puts the flag and the value before it.

use std::{net::SocketAddr, time::Duration};

/// The timeout of one RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RpcTimeout {
    /// The name of the RPC, as the operator wrote it.
    pub(super) rpc: String,
    pub(super) timeout: Duration,
}

/// An address to listen on, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenOrOff {
    At(SocketAddr),
    Off,
}

/// Parses an address to listen on, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<ListenOrOff, String> {
    if text == "off" {
        return Ok(ListenOrOff::Off);
    }
    text.parse().map(ListenOrOff::At).map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:9464, or off".to_owned()
    })
}

/// Parses an address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:50051 or [::]:50051".to_owned()
    })
}

/// Parses a number of RPCs or connections.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "give a whole number, 1 or more".to_owned())
}

/// Parses a number of connections, of which 0 stands for no limit.
pub(super) fn number_or_zero(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "give a whole number".to_owned())
}

/// Parses a number of bytes.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "give a number of bytes, such as 33554432".to_owned())
}

/// Parses the size limit of one response.
pub(super) fn answer_bytes(text: &str) -> Result<usize, String> {
    /// A message may take five times the bytes of its JSON, and a gRPC frame has
    /// at most 4 GiB.
    const MOST: usize = 512 * 1024 * 1024;

    let bytes = bytes(text)?;
    if bytes > MOST {
        return Err(format!("give at most {MOST}"));
    }
    Ok(bytes)
}

/// Parses the timeout of one RPC. The contract, which knows the RPCs, checks the
/// name later.
pub(super) fn rpc_timeout(text: &str) -> Result<RpcTimeout, String> {
    let (rpc, length) = text
        .split_once('=')
        .ok_or_else(|| "give an RPC, = and its seconds, such as ListX=5".to_owned())?;
    Ok(RpcTimeout { rpc: rpc.to_owned(), timeout: some_seconds(length)? })
}

/// Parses a number of seconds greater than 0.
pub(super) fn some_seconds(text: &str) -> Result<Duration, String> {
    let length = seconds(text)?;
    if length.is_zero() {
        return Err("give more than 0 seconds".to_owned());
    }
    Ok(length)
}

/// Parses a number of seconds as operators write it: `30`, `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "give a number of seconds, such as 30 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| *length <= Duration::from_secs(24 * 3600))
        .ok_or_else(|| "give a number of seconds from 0 to 86400".to_owned())
}
