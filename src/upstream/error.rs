//! Why a request to Polytomic has no usable response.

use std::{fmt, time::Duration};

use crate::{budget::Exhausted, tls};

/// The cause of an error, kept for the log. It holds no URL.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long Polytomic must have been silent for a timeout to count as a failure: a
/// client with a short deadline must not open the circuit for all others.
const LEAST_SILENCE: Duration = Duration::from_secs(5);

/// Why an exchange with Polytomic failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The circuit breaker is open, so nothing was sent.
    #[error("{circuit}")]
    CircuitOpen {
        /// Whose requests are not sent.
        circuit: Circuit,
        /// When the gateway will try Polytomic again.
        retry_after: Duration,
    },
    /// There was no connection, so nothing was sent.
    #[error("the gateway cannot connect to Polytomic")]
    Connect(#[source] BoxError),
    /// Polytomic states that it did not process the request: it refused the stream, or
    /// ended the connection before it.
    #[error("Polytomic refused the request's stream, or was ending the connection")]
    NotProcessed(#[source] BoxError),
    /// All connections were in use until the end of the attempt, so nothing was sent.
    #[error("no connection to Polytomic had a free stream in time")]
    NoStream,
    /// The connection ended after the request was written.
    #[error("the connection to Polytomic ended before the end of the response")]
    Reset(#[source] BoxError),
    /// There was no whole response in time.
    #[error("Polytomic did not respond in time")]
    Timeout,
    /// The response is not HTTP or not JSON; says why, and quotes nothing of it.
    #[error("Polytomic's response cannot be read: {0}")]
    Malformed(&'static str),
    /// The body is larger than `limit` bytes.
    #[error("Polytomic's response is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There is no memory for the body.
    #[error(transparent)]
    NoMemory(Exhausted),
}

/// Whose requests a circuit stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Those with one key.
    Key,
    /// Those to one path with the gateway's own key.
    Path,
    /// All.
    All,
}

/// How far an exchange got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of the request was sent, or Polytomic states that it did not process it.
    NotSent,
    /// The request may have been sent, and there is no whole response.
    MaybeSent,
    /// Polytomic responded.
    Responded,
}

impl Error {
    /// Returns how far the exchange got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self {
            Self::CircuitOpen { .. }
            | Self::Connect(_)
            | Self::NotProcessed(_)
            | Self::NoStream => Progress::NotSent,
            Self::Reset(_) | Self::Timeout => Progress::MaybeSent,
            Self::Malformed(_) | Self::TooLarge { .. } | Self::NoMemory(_) => {
                Progress::Responded
            }
        }
    }

    /// Reports whether an exchange that ended so shows that Polytomic cannot respond;
    /// `None` if it shows nothing.
    pub(super) fn is_outage(&self, took: Duration) -> Option<bool> {
        match self {
            Self::Connect(_)
            | Self::NotProcessed(_)
            | Self::Reset(_)
            | Self::Malformed(_) => Some(true),
            Self::Timeout => (took >= LEAST_SILENCE).then_some(true),
            Self::TooLarge { .. } | Self::NoMemory(_) => Some(false),
            Self::CircuitOpen { .. } | Self::NoStream => None,
        }
    }
}

impl Circuit {
    /// Every circuit.
    pub(super) const ALL: [Self; 3] = [Self::Key, Self::Path, Self::All];

    /// Returns the name in logs and error details.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Path => "path",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Circuit {
    /// Writes what the open circuit means, as a clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => {
                "requests with this key keep failing, so the gateway sends none of them \
                 for now; other keys are not affected"
            }
            Self::Path => {
                "requests to this path keep failing, so the gateway sends none of them \
                 for now; other paths are not affected"
            }
            Self::All => {
                "Polytomic keeps failing, so the gateway sends no requests for now"
            }
        })
    }
}

/// Why there can be no client, without a URL.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The certificates and authorities cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The host is no name that a certificate can have.
    #[error("TLS to Polytomic cannot be set up")]
    Host(#[source] BoxError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_exceeds_a_limit_is_no_outage() {
        for error in
            [Error::NoMemory(Exhausted::ResponseMemory), Error::TooLarge { limit: 1 }]
        {
            assert_eq!(error.is_outage(LEAST_SILENCE), Some(false));
        }
    }

    #[test]
    fn a_timeout_counts_only_after_enough_silence() {
        assert_eq!(Error::Timeout.is_outage(LEAST_SILENCE), Some(true));
        let short = Duration::from_millis(100);
        assert_eq!(Error::Timeout.is_outage(short), None);
    }
}
