//! One thing that happens, in words.

use std::fmt;

use super::world::{Claim, Create, Ending};

/// What happens in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Calls { create: Create, own_key: bool },
    Hedges(Create),
    Abandons(Create),
    Sends(Create),
    Arrives(Create),
    ArrivesLate(Create),
    Breaks(Create, Then),
    Ends(Create, Ending, Then),
    Succeeds(Create, Then),
    MakesShare(Create),
    RejectsCreate(Create),
    Fails(Create, bool),
    Drops(Create),
    Forgets,
    Rotates,
}

/// What follows the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GatewayRetries,
    GatewayRenews,
    ProxyResends,
    LibraryRetries { marked: u8 },
    LibraryWaits,
    Told(Claim),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { own_key: true, .. } => {
                f.write_str("The client calls with its own key.")
            }
            Self::Calls { own_key: false, .. } => {
                f.write_str("The client calls without a key.")
            }
            Self::Hedges(_) => {
                f.write_str("The client library sends the call a second time.")
            }
            Self::Abandons(_) => f.write_str("The client stops waiting."),
            Self::Sends(_) => f.write_str("The gateway sends a request to Polytomic."),
            Self::Arrives(_) => f.write_str("The request arrives at Polytomic."),
            Self::ArrivesLate(_) => {
                f.write_str("A request for which nobody waits arrives at Polytomic.")
            }
            Self::Breaks(_, then) => write!(f, "The stream to the gateway breaks{then}"),
            Self::Ends(_, ending, then) => write!(f, "{}{then}", words(*ending)),
            Self::Succeeds(_, then) => write!(f, "The gateway returns OK{then}"),
            Self::MakesShare(_) => f.write_str("Polytomic makes a share."),
            Self::RejectsCreate(_) => {
                f.write_str("Polytomic rejects the create, and records that.")
            }
            Self::Fails(_, true) => {
                f.write_str("Polytomic makes a share, fails, and records the failure.")
            }
            Self::Fails(_, false) => {
                f.write_str("Polytomic fails, and records the failure.")
            }
            Self::Drops(_) => {
                f.write_str("Polytomic fails before any effect, and records nothing.")
            }
            Self::Forgets => f.write_str("24 hours pass: Polytomic forgets the key."),
            Self::Rotates => {
                f.write_str("Polytomic no longer accepts the gateway's credentials.")
            }
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GatewayRetries => f.write_str("; the gateway retries."),
            Self::GatewayRenews => {
                f.write_str("; the gateway retries with newer credentials.")
            }
            Self::ProxyResends => f.write_str("; the proxy sends the stream again."),
            Self::LibraryRetries { marked } => write!(
                f,
                "; the client library retries with `grpc-previous-rpc-attempts: {marked}`."
            ),
            Self::LibraryWaits => {
                f.write_str("; the client library waits for its other stream.")
            }
            Self::Told(claim) => f.write_str(match claim {
                Claim::Made => ".",
                Claim::NotMade => "; the client reads that there is no share.",
                Claim::Unknown => "; the client learns nothing certain.",
                Claim::OfAnother => ", with the share of another create.",
            }),
        }
    }
}

fn words(ending: Ending) -> &'static str {
    match ending {
        Ending::NoKey => "The gateway rejects the retry, which has no key",
        Ending::NoCapacity => "The gateway has no capacity",
        Ending::CircuitOpen => "The circuit is open",
        Ending::Refused => "The gateway finds no connection",
        Ending::TimeoutUnsent => "An attempt times out before its body is sent",
        Ending::DeadlineUnsent => "The deadline passes before the body is sent",
        Ending::Deadline => "The deadline passes",
        Ending::Reset => "The connection to Polytomic is lost",
        Ending::Unreadable => "The response cannot be read",
        Ending::Unauthorized => "Polytomic responds with 401",
        Ending::Forbidden => "Polytomic responds with 403",
        Ending::RateLimited => "Polytomic responds with 429",
        Ending::InFlight => "Polytomic responds with 409",
        Ending::Rejected => "Polytomic responds with 422",
        Ending::Failed => "Polytomic responds with 500",
        Ending::Unavailable => "Polytomic responds with 503",
        Ending::ProxyFailed => "A proxy responds with 500",
    }
}
