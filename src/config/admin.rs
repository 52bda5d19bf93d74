//! The flags of the admin listener, and of those that ask it.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Args, builder::BoolishValueParser};

use super::{
    Serve,
    parse::{ListenOrOff, address_or_off},
};

/// The port is the one that exporters of OpenTelemetry use by default.
const DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

#[derive(Debug, Clone, Args)]
pub(super) struct AdminFlags {
    /// Address of the admin listener, which has probes and pages for operators, or
    /// `off`. Port 0 takes a free port. Default:
    #[cfg_attr(feature = "sandbox", doc = "127.0.0.1:9464, with --sandbox off")]
    #[cfg_attr(not(feature = "sandbox"), doc = "127.0.0.1:9464")]
    #[arg(
        long,
        help_heading = "Admin listener",
        env = "POLYTOMIC_GATEWAY_ADMIN_LISTEN",
        value_name = "ADDRESS",
        value_parser = address_or_off
    )]
    admin_listen: Option<ListenOrOff>,
}

impl AdminFlags {
    /// Returns the address to listen on, if there is one. Two gateways on the sandbox,
    /// such as those of tests, must not compete for a port.
    pub(super) fn listen(&self, sandbox: bool) -> Option<SocketAddr> {
        match self.admin_listen {
            Some(ListenOrOff::At(address)) => Some(address),
            Some(ListenOrOff::Off) => None,
            None => (!sandbox).then_some(DEFAULT),
        }
    }
}

/// The flags of a health check: those of the gateway that it asks, and what it asks.
#[derive(Debug, Clone, Args)]
pub struct HealthCheck {
    /// Check only that the process serves, and not that it should get RPCs
    #[arg(
        long,
        env = "POLYTOMIC_GATEWAY_LIVE",
        value_parser = BoolishValueParser::new()
    )]
    pub live: bool,

    /// The flags of the gateway.
    #[command(flatten)]
    serve: Serve,
}

impl HealthCheck {
    /// Returns the address to connect to, if the gateway listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let Serve { admin, upstream, .. } = &self.serve;
        let mut address = admin.listen(upstream.sandbox)?;
        // A gateway that listens on all addresses listens on loopback, too.
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Some(address)
    }
}
