//! Rejects requests that another site has made a browser send.
//!
//! A browser on the gateway's machine reaches loopback, also for the pages of foreign
//! sites. Two checks keep those out. A site can have its name resolve to 127.0.0.1 (DNS
//! rebinding) and then read what it likes, so a request over loopback must name its host
//! by address. And a change must not come from the page of another site: browsers state
//! the origin with every PUT.

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

/// Checks the host that a request is for.
pub(super) fn check_host(request: &Parts, peer: IpAddr) -> Result<(), Error> {
    let host = host(request)?;
    let is_named = host.is_some_and(|host| !is_local(host.host()));
    if is_named && peer.to_canonical().is_loopback() {
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
    fn request_over_loopback_names_its_host_by_address() {
        for host in
            ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7"]
        {
            let request = request("/", &[("host", host)]);
            for peer in [LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST), REMOTE] {
                assert_eq!(check_host(&request, peer), Ok(()), "{host}");
            }
        }
        for host in
            ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost."]
        {
            for request in [
                request("/", &[("host", host)]),
                request(&format!("http://{host}/"), &[("host", "localhost")]),
            ] {
                assert_eq!(
                    check_host(&request, LOOPBACK),
                    Err(Error::ForeignHost),
                    "{host}"
                );
                let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
                assert_eq!(
                    check_host(&request, mapped),
                    Err(Error::ForeignHost),
                    "{host}"
                );
                assert_eq!(check_host(&request, REMOTE), Ok(()), "{host}");
            }
        }
    }

    #[test]
    fn http_1_1_needs_one_host() {
        let two = [("host", "localhost"), ("host", "localhost")];
        for headers in [&two[..], &[], &[("host", "a b")], &[("host", "")]] {
            let mut request = request("/", headers);
            assert_eq!(check_host(&request, REMOTE), Err(Error::Host), "{headers:?}");
            request.version = Version::HTTP_10;
            let expected = if headers.is_empty() { Ok(()) } else { Err(Error::Host) };
            assert_eq!(check_host(&request, REMOTE), expected, "{headers:?}");
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
