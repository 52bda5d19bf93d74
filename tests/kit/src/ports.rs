//! Addresses for servers that end and start again.

use std::net::{SocketAddr, TcpListener};

/// Returns addresses outside of the ephemeral range, so that no other process gets one
/// while its owner is down.
pub fn free<const N: usize>() -> [SocketAddr; N] {
    let range = 20_000..30_000;
    // Another test process that starts now must find other ports.
    let offset = std::process::id().wrapping_mul(8) % 10_000;
    let first = range.start + u16::try_from(offset).unwrap();
    let mut free = (first..range.end)
        .chain(range.start..first)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .filter(|address| TcpListener::bind(address).is_ok());
    std::array::from_fn(|_| free.next().expect("there are free ports"))
}
