//! A probe of another gateway's admin listener, for images that have neither a shell nor
//! `curl`.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Maximum time of a probe. The gateway responds from memory.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum bytes of a response: the head, and a line.
const RESPONSE: u64 = 4096;

/// Why a gateway is not healthy, as far as the probe can tell.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing listens, or the connection broke.
    #[error("no response from {0}")]
    NoResponse(SocketAddr, #[source] io::Error),
    /// Nothing responded in time.
    #[error("no response from {0} within 5 s")]
    Timeout(SocketAddr),
    /// Something else listens there.
    #[error("{0} does not respond like the admin listener of a gateway")]
    Foreign(SocketAddr),
    /// The gateway says that it is not healthy.
    #[error("not healthy: {0}")]
    NotHealthy(String),
}

/// Asks for a page, and returns its text if the status is 200.
///
/// # Errors
///
/// If there is no response, or with another status.
pub async fn ask(address: SocketAddr, path: &str) -> Result<String, ProbeError> {
    let response = timeout(TIMEOUT, get(address, path))
        .await
        .map_err(|_| ProbeError::Timeout(address))?
        .map_err(|error| ProbeError::NoResponse(address, error))?;
    let (status, text) = parse(&response).ok_or(ProbeError::Foreign(address))?;
    match status {
        "200" => Ok(text.to_owned()),
        "503" => Err(ProbeError::NotHealthy(text.to_owned())),
        _ => Err(ProbeError::Foreign(address)),
    }
}

async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.take(RESPONSE).read_to_string(&mut response).await?;
    Ok(response)
}

/// Returns the status of a response, and its body of one line.
fn parse(response: &str) -> Option<(&str, &str)> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let line = body.strip_suffix('\n')?;
    (!line.contains(['\n', '\r'])).then_some((status, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_is_the_response_of_a_probe() {
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\n";
        for (body, expected) in [
            ("draining\n", Some(("503", "draining"))),
            ("draining", None),
            ("<html>\n<body>\n", None),
            ("", None),
        ] {
            assert_eq!(parse(&format!("{head}{body}")), expected, "{body:?}");
        }
        for other in
            ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.0 200 OK\r\n\r\nok\n", "HTTP/1.1 2"]
        {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
