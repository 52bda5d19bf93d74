//! Rejects requests that another site has made a browser send.
//!
//! An operator's browser reaches the gateway, also for the pages of foreign sites. Two
//! checks keep those out. A site can have its name resolve to the gateway's address (DNS
//! rebinding) and then read what it likes, so a request must name its host by address.
//! Only monitoring on other machines may use a name, for pages that tell little. And a
//! change must not come from the page of another site: browsers state the origin with
//! every PUT.

use std::net::IpAddr;

use http::{
    HeaderMap, StatusCode, Version,
    header::{HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// RFC 9112, section 3.2.
    #[error("the request must have one host header")]
    Host,
    /// DNS rebinding.
    #[error("use localhost or an IP address as the host")]
    ForeignHost,
    /// Cross-site request forgery.
    #[error("a page of another site may not change anything")]
    ForeignOrigin,
    /// What may be read over a network may not be changed over it.
    #[error("only clients on the gateway's machine may change anything")]
    RemoteChange,
}

impl Error {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::RemoteChange => StatusCode::FORBIDDEN,
        }
    }
}

/// Checks the host that a request is for. Monitoring of another machine may name it.
pub(super) fn check_host(
    request: &Parts,
    peer: IpAddr,
    is_for_monitoring: bool,
) -> Result<(), Error> {
    let host = host(request)?;
    let is_named = host.is_some_and(|host| !is_local(host.host()));
    let may_be_named = is_for_monitoring && !peer.to_canonical().is_loopback();
    if is_named && !may_be_named {
        return Err(Error::ForeignHost);
    }
    Ok(())
}

/// Checks that a request may change something.
pub(super) fn check_change(request: &Parts, peer: IpAddr) -> Result<(), Error> {
    if !peer.to_canonical().is_loopback() {
        return Err(Error::RemoteChange);
    }
    let Some(origin) = request.headers.get(ORIGIN) else { return Ok(()) };
    let host = host(request)?.ok_or(Error::Host)?;
    let own = format!("http://{host}");
    if origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()) {
        Ok(())
    } else {
        Err(Error::ForeignOrigin)
    }
}

/// Returns the host of a request: that of its target, if it has one, overrides the header
/// (RFC 9112, section 3.2.2). HTTP/1.0, which some probes speak, needs none.
fn host(request: &Parts) -> Result<Option<Authority>, Error> {
    let header = host_header(&request.headers)?;
    if header.is_none() && request.version > Version::HTTP_10 {
        return Err(Error::Host);
    }
    Ok(request.uri.authority().cloned().or(header))
}

fn host_header(headers: &HeaderMap) -> Result<Option<Authority>, Error> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => {
            Authority::try_from(host.as_bytes()).map(Some).map_err(|_| Error::Host)
        }
        (Some(_), Some(_)) => Err(Error::Host),
    }
}

/// Reports whether no name server decides what a host stands for.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::{Ipv4Addr, Ipv6Addr};

    use http::Request;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

    fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_monitoring_of_other_machines_may_name_the_host() {
        for host in
            ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7"]
        {
            let request = request("/", &[("host", host)]);
            for peer in [LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST), REMOTE] {
                for is_for_monitoring in [true, false] {
                    let checked = check_host(&request, peer, is_for_monitoring);
                    assert_eq!(checked, Ok(()), "{host}");
                }
            }
        }
        for host in
            ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost."]
        {
            for request in [
                request("/", &[("host", host)]),
                request(&format!("http://{host}/"), &[("host", "localhost")]),
            ] {
                let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
                for (peer, is_for_monitoring, expected) in [
                    (LOOPBACK, true, Err(Error::ForeignHost)),
                    (mapped, true, Err(Error::ForeignHost)),
                    (REMOTE, false, Err(Error::ForeignHost)),
                    (REMOTE, true, Ok(())),
                ] {
                    let checked = check_host(&request, peer, is_for_monitoring);
                    assert_eq!(checked, expected, "{host} {peer}");
                }
            }
        }
    }

    #[test]
    fn http_1_1_needs_one_host() {
        let two = [("host", "localhost"), ("host", "localhost")];
        for headers in [&two[..], &[], &[("host", "a b")], &[("host", "")]] {
            let mut request = request("/", headers);
            let check = |request: &Parts| check_host(request, REMOTE, true);
            assert_eq!(check(&request), Err(Error::Host), "{headers:?}");
            request.version = Version::HTTP_10;
            let expected = if headers.is_empty() { Ok(()) } else { Err(Error::Host) };
            assert_eq!(check(&request), expected, "{headers:?}");
        }
    }

    #[test]
    fn change_comes_from_this_machine_and_no_other_site() {
        let host = ("host", "localhost:9464");
        let check = |origin: Option<&str>, peer| {
            let origin = origin.map(|origin| ("origin", origin));
            let headers: Vec<_> = [Some(host), origin].into_iter().flatten().collect();
            check_change(&request("/loglevel", &headers), peer)
        };
        assert_eq!(check(None, LOOPBACK), Ok(()));
        assert_eq!(check(Some("http://localhost:9464"), LOOPBACK), Ok(()));
        for origin in [
            "http://evil.example",
            "null",
            "https://localhost:9464",
            "http://localhost",
            "",
        ] {
            assert_eq!(
                check(Some(origin), LOOPBACK),
                Err(Error::ForeignOrigin),
                "{origin}"
            );
        }
        assert_eq!(check(None, REMOTE), Err(Error::RemoteChange));
    }
}
