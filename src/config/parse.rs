//! The values of flags, from text.
//!
//! Each error says what to give instead; clap puts the flag and the value before it.

use std::{net::SocketAddr, time::Duration};

use super::RpcTimeout;

/// Parses where to listen.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:50051 or [::]:50051".to_owned()
    })
}

/// Parses how many of something there may be.
pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "give a whole number, 1 or more".to_owned())
}

/// Parses a number of bytes.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "give a number of bytes, such as 33554432".to_owned())
}

/// Parses the limit of one answer.
pub(super) fn answer_bytes(text: &str) -> Result<usize, String> {
    /// A message may take five times the bytes of its JSON, and a frame of gRPC
    /// has 4 GiB at most.
    const MOST: usize = 512 * 1024 * 1024;

    let bytes = bytes(text)?;
    if bytes > MOST {
        return Err(format!("it must be {MOST} at most"));
    }
    Ok(bytes)
}

/// Parses how long one RPC may take. Whether there is such an RPC is seen later.
pub(super) fn rpc_timeout(text: &str) -> Result<RpcTimeout, String> {
    let (rpc, length) = text
        .split_once('=')
        .ok_or_else(|| "give an RPC and its seconds, with = between".to_owned())?;
    Ok(RpcTimeout { rpc: rpc.to_owned(), timeout: some_seconds(length)? })
}

/// Parses a length of time that cannot be none.
pub(super) fn some_seconds(text: &str) -> Result<Duration, String> {
    let length = seconds(text)?;
    if length.is_zero() {
        return Err("it must be more than 0".to_owned());
    }
    Ok(length)
}

/// Parses a length of time as operators write it: `30`, `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "give a number of seconds, such as 30 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| *length <= Duration::from_secs(24 * 3600))
        .ok_or_else(|| "give a number of seconds from 0 to 86400".to_owned())
}
