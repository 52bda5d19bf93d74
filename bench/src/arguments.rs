//! The arguments of the targets in Rust.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

/// Where a target listens, and what it calls.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Address to listen on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// URL of the upstream, without a path.
    #[arg(long)]
    pub upstream: String,
    /// PEM file of the certificate that is trusted.
    #[arg(long)]
    pub ca_file: PathBuf,
}
