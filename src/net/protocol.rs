//! What a peer speaks, as its first bytes tell.

use std::fmt;

/// The first bytes of an HTTP/2 client (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The start of other protocols. The PROXY protocol has two versions
/// (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
const SIGNATURES: [(&[u8], Protocol); 3] = [
    (b"\x16\x03", Protocol::Tls),
    (b"PROXY ", Protocol::Proxy),
    (b"\r\n\r\n\0\r\nQUIT\n", Protocol::Proxy),
];

/// The answer to HTTP/1.x: the peer's version is what the server does not support.
pub(super) const HTTP1_RESPONSE: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain\r\n\
    connection: close\r\n\
    content-length: 46\r\n\
    \r\n\
    This port speaks gRPC over cleartext HTTP/2.\r\n";

/// The answer to HTTP/1.x without TLS where all clients speak TLS.
pub(super) const HTTP1_RESPONSE_OF_TLS: &[u8] =
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain\r\n\
    connection: close\r\n\
    content-length: 45\r\n\
    \r\n\
    This port speaks gRPC over HTTP/2 with TLS.\r\n";

/// A protocol that peers speak, on purpose or by a mistake in their configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Http2,
    Http1,
    Tls,
    Proxy,
    Unknown,
}

impl Protocol {
    /// Returns the protocol that begins with `start`, which is not longer than
    /// [`PREFACE`], or `None` if more bytes decide.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        if PREFACE.starts_with(start) {
            return (start.len() == PREFACE.len()).then_some(Self::Http2);
        }
        for (signature, protocol) in SIGNATURES {
            if start.starts_with(signature) {
                return Some(protocol);
            }
            if signature.starts_with(start) {
                return None;
            }
        }
        // HTTP/1.x begins with a method, a space, and a path, an asterisk, a URL or a host.
        let method = start.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        match &start[method..] {
            _ if method == 0 => Some(Self::Unknown),
            [b' ', b'/' | b'*' | b'[' | b'a'..=b'z' | b'0'..=b'9', ..] => {
                Some(Self::Http1)
            }
            [] | [b' '] if start.len() < PREFACE.len() => None,
            _ => Some(Self::Unknown),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http2 => "HTTP/2",
            Self::Http1 => "HTTP/1.x",
            Self::Tls => "TLS",
            Self::Proxy => "the PROXY protocol",
            Self::Unknown => "an unknown protocol",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn protocol_is_told_by_the_first_bytes_that_decide() {
        for (start, decided, protocol) in [
            (&PREFACE[..], 24, Protocol::Http2),
            (b"GET / HTTP/1.1\r\n", 5, Protocol::Http1),
            (b"PROPFIND / HTTP/1.1", 10, Protocol::Http1),
            (b"CONNECT db:5432 HTTP/1.1", 9, Protocol::Http1),
            (b"INVALID CONNECTION PREFACE", 9, Protocol::Unknown),
            (b"PRI * HTTP/1.1\r\n", 12, Protocol::Http1),
            (b"PROXY TCP4", 6, Protocol::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", 12, Protocol::Proxy),
            (b"\x16\x03\x01\x02\x00", 2, Protocol::Tls),
            (b"SSH-2.0-x", 4, Protocol::Unknown),
            (b" / HTTP/1.1", 1, Protocol::Unknown),
            (b"\0\0", 1, Protocol::Unknown),
            (&[b'A'; 24], 24, Protocol::Unknown),
        ] {
            let shown = start.escape_ascii();
            for length in 0..decided {
                assert_eq!(Protocol::of(&start[..length]), None, "{shown}: {length}");
            }
            assert_eq!(Protocol::of(&start[..decided]), Some(protocol), "{shown}");
        }
    }

    #[test]
    fn http1_response_states_its_length() {
        for response in [HTTP1_RESPONSE, HTTP1_RESPONSE_OF_TLS] {
            let response = str::from_utf8(response).unwrap();
            let (head, text) = response.split_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}", text.len());
            assert!(head.ends_with(&length), "{response}");
        }
    }
}
