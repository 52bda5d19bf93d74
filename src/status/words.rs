//! What a reason means to a caller: whose fault it is, and what to mend.

use super::Reason;

/// Explains a reason to the caller in one or two sentences.
///
/// Whether to repeat the call is not told here: it depends on more than the reason.
#[expect(clippy::too_many_lines, reason = "one line a reason, to be read as a table")]
pub(super) const fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::CredentialsMissing | Reason::CredentialsMalformed => {
            "Send exactly one `authorization` metadata: the word Bearer, a space, the key."
        }
        Reason::CallerCredentialsRejected => {
            "The key in `authorization` is unknown or revoked: send a valid partner key."
        }
        Reason::GatewayCredentialsRejected => {
            "These are the gateway's own credentials: its operator must replace them."
        }
        Reason::PartnerKeyRequired => "Polytomic serves this call to partner keys only.",
        Reason::CallerTokenRejected => {
            "This gateway holds the partner key itself: send the token that its operator gives out."
        }
        Reason::GatewayCredentialsUnavailable => {
            "The gateway's operator must mend its credential file."
        }
        Reason::InvalidField => "Nothing was sent to Polytomic.",
        Reason::UpstreamInvalidRequest => "Polytomic finds fault with the request.",
        Reason::GatewayOverloaded => "Other calls took all of its room.",
        Reason::RateLimited => "Call less often, or ask its operator for a higher limit.",
        Reason::InvalidMessage => "The client's .proto may differ from the gateway's.",
        Reason::RequestTooLarge => "Send a smaller message.",
        Reason::CompressionUnsupported => "Send it without grpc-encoding.",
        Reason::UnknownRpc => "Server reflection lists the RPCs that it serves.",
        Reason::DeadlineExceeded => "Set a longer deadline if this happens often.",
        Reason::Cancelled => "The gateway dropped its work for it.",
        Reason::Draining => "Another instance can serve the call.",
        Reason::GatewayPanic => "Please report it with the request id.",
        Reason::GatewayRequestRefused => {
            "The gateway built a request that Polytomic cannot take. \
             The fault is the gateway's: please report it with the request id."
        }
        Reason::EgressProxyAuth => {
            "A proxy between the gateway and Polytomic refused it: \
             the gateway's operator must mend that."
        }
        Reason::UpstreamConnectFailed => {
            "The fault is Polytomic's, the network's or in the gateway's configuration."
        }
        Reason::CircuitOpen | Reason::UpstreamReset | Reason::UpstreamTimeout => {
            "The fault is Polytomic's or the network's."
        }
        Reason::UpstreamResponseTooLarge => "The gateway's operator can raise the limit.",
        Reason::UpstreamBadResponse => {
            "The fault is Polytomic's, or its API has changed."
        }
        Reason::OutcomeUnknown => {
            "Polytomic reports success without saying what was made."
        }
        Reason::UpstreamProtocolError => {
            "That is not an answer that HTTP allows here. \
             The fault is Polytomic's or that of a proxy before it."
        }
        Reason::UpstreamUnexpectedStatus => {
            "The gateway never asks for such an answer. \
             The fault is Polytomic's or that of a proxy before it."
        }
        Reason::UpstreamRedirect => {
            "The gateway follows no redirects, which could leak credentials. \
             Its operator should check the upstream URL."
        }
        Reason::UpstreamPaymentRequired => {
            "The Polytomic account must be put in order before the call can succeed."
        }
        Reason::UpstreamForbidden => {
            "The credentials are valid but do not permit this call, which needs a partner key."
        }
        Reason::UpstreamNotFound => {
            "Polytomic answers so, too, when the organization does not own the connection: \
             check both ids."
        }
        Reason::UpstreamUnimplemented => {
            "Polytomic does not have this call in the API version asked for, or no longer: \
             the gateway needs an update."
        }
        Reason::UpstreamConflict => {
            "Polytomic is busy with a call in conflict, likely one with the same idempotency key."
        }
        Reason::UpstreamPreconditionFailed => {
            "Something must change at Polytomic before the call can succeed."
        }
        Reason::UpstreamUpgradeRequired => {
            "Polytomic wants another version of its API or of TLS: \
             see the metadata `x-polytomic-version`."
        }
        Reason::UpstreamRefused => "Polytomic refused the call as it stands.",
        Reason::UpstreamNotProcessed => "Polytomic did not process the request.",
        Reason::UpstreamRateLimited => {
            "The quota of these credentials is used up for now."
        }
        Reason::UpstreamError => "The fault is Polytomic's, not the caller's.",
        Reason::UpstreamUnavailable => {
            "The fault is Polytomic's or that of a proxy before it."
        }
        Reason::UpstreamOverloaded => "Polytomic has too much to do for now.",
        Reason::UpstreamExhausted => {
            "Polytomic is out of storage, which is not the caller's fault."
        }
        Reason::UpstreamProxyAuth => {
            "A proxy of Polytomic's could not check the credentials. The fault is Polytomic's."
        }
    }
}
