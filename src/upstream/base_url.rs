//! Polytomic's base URL.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{
    Uri,
    uri::{self, Authority, PathAndQuery, Scheme},
};
use rustls::pki_types::ServerName;
use url::{Position, Url};

/// The URL that the paths of the API are appended to.
///
/// Without a scheme it is `https`, slashes at the end are ignored, and a path before
/// `/api` is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Has no query. Slashes at the end are removed, but for the one of an empty path.
    url: Url,
    scheme: Scheme,
    authority: Authority,
    plaintext: bool,
}

impl BaseUrl {
    /// Reports whether credentials would cross a network unencrypted: the scheme
    /// is `http` and the host is not this one.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        self.plaintext
    }

    /// Reports whether the scheme is `https`.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Returns the name or address of the host. An IPv6 address has no brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        host_of(&self.url)
    }

    /// Returns the host, and the port unless it is the default.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns what a server gets for a path, which starts with `/` and has the escapes
    /// that it needs.
    pub(super) fn path(&self, path_and_query: &str) -> PathAndQuery {
        let base = self.url.path().trim_end_matches('/');
        let whole = [base, path_and_query].concat();
        whole.try_into().expect("what needs an escape has it")
    }

    /// Returns the URL of such a path.
    pub(super) fn join(&self, path_and_query: &str) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.path(path_and_query));
        parts.try_into().expect("a URL has all parts")
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    /// Parses the URL that an operator has configured.
    ///
    /// # Errors
    ///
    /// Says what is wrong and what to do.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let mut url = Url::parse(&with_scheme).map_err(|error| {
            format!("{error}; give one such as https://app.polytomic.com")
        })?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("the scheme is {}; use https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password; remove them".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it holds a query or fragment; remove it".to_owned());
        }
        // A service of Kubernetes may have a name without a dot, but hardly this one.
        if let Some(host @ ("http" | "https" | "tcp" | "unix")) = url.host_str() {
            return Err(format!("the host is {host}; give one scheme, as https://host"));
        }
        let host = host_of(&url);
        if ServerName::try_from(host).is_err() {
            return Err(format!(
                "the host {host} is not a name or an address; give one such as \
                 https://app.polytomic.com"
            ));
        }
        if url.path().trim_end_matches('/').contains("//") {
            return Err("the path has //; remove a slash".to_owned());
        }
        let plaintext = url.scheme() == "http" && !is_loopback(&url);
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let authority =
            authority.parse().map_err(|error| format!("its host: {error}"))?;
        let scheme = if url.scheme() == "http" { Scheme::HTTP } else { Scheme::HTTPS };
        Ok(Self { url, scheme, authority, plaintext })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

fn is_loopback(url: &Url) -> bool {
    let host = host_of(url);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn urls_are_accepted_as_operators_write_them() {
        for (written, joined) in [
            ("https://app.polytomic.com", "https://app.polytomic.com/api/me"),
            ("https://app.polytomic.com/", "https://app.polytomic.com/api/me"),
            ("app.polytomic.com", "https://app.polytomic.com/api/me"),
            (" polytomic.example:8443// ", "https://polytomic.example:8443/api/me"),
            ("https://example.com/polytomic/", "https://example.com/polytomic/api/me"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/me"),
            ("polytomic:8080", "https://polytomic:8080/api/me"),
            ("http://polytomic", "http://polytomic/api/me"),
            ("http://my_polytomic", "http://my_polytomic/api/me"),
            ("app.polytomic.com.", "https://app.polytomic.com./api/me"),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/api/me"),
        ] {
            let url: BaseUrl = written.parse().unwrap();
            assert_eq!(url.join("/api/me"), joined, "{written:?}");
        }
    }

    #[test]
    fn joined_url_is_that_of_the_whole_text() {
        for base in ["https://app.polytomic.com", "https://example.com/a%20b/c"] {
            let url: BaseUrl = base.parse().unwrap();
            for path in
                ["/api/x", "/api/a%2Fb%3Fc", "/api/%C3%A9~.-_", "/api/x?a=1&b=%26%3D"]
            {
                let whole = Url::parse(&format!("{base}{path}")).unwrap();
                assert_eq!(url.join(path), whole.as_str());
            }
        }
    }

    #[test]
    fn invalid_urls_are_rejected() {
        for written in [
            "",
            "https://",
            "ftp://app.polytomic.com",
            "https://user@app.polytomic.com",
            "https://:secret@app.polytomic.com",
            "https://app.polytomic.com?key=1",
            "https://app.polytomic.com#top",
            "not a url",
            "https://https://app.polytomic.com",
            "https:/app.polytomic.com",
            "http//app.polytomic.com",
            "https://app.polytomic.com//api",
            "https://app..com",
            "http://app..com",
            "-a.com",
            "a-.com",
            "unix:/tmp/polytomic",
            "tcp:8080",
        ] {
            assert!(written.parse::<BaseUrl>().is_err(), "{written:?}");
        }
    }

    #[test]
    fn plaintext_is_http_to_another_host() {
        for (written, plaintext) in [
            ("http://app.polytomic.com", true),
            ("http://localhost.example.com", true),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://localhost", false),
            ("https://app.polytomic.com", false),
        ] {
            assert_eq!(
                written.parse::<BaseUrl>().unwrap().is_plaintext(),
                plaintext,
                "{written}"
            );
        }
    }
}
