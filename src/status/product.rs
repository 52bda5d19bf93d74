//! What these texts say of Polytomic's product, which the contract should say.

use super::row::Page;

pub(super) const NOT_FOUND: &str = "Polytomic also returns this status if the organization does not own the connection: check both IDs.";

pub(super) const FORBIDDEN: &str =
    "The credentials are valid but do not permit this call, which needs a partner key.";

pub(super) const PARTNER_KEY: &str = "Polytomic accepts only partner keys for this call.";

/// The only field of a create that can make its body too large.
pub(super) const TOO_LARGE: (&str, &str) = ("name", "is too long: send a shorter one");

pub(super) const SHARING: Page = Page {
    title: "which organization owns a shared connection",
    url: "https://apidocs.polytomic.com/guides/multitenancy",
};

pub(super) const VERSIONING: Page = Page {
    title: "versions of Polytomic's API",
    url: "https://apidocs.polytomic.com/guides/versioning",
};

/// The page that explains idempotency keys.
pub(super) const IDEMPOTENCY: &str =
    "https://apidocs.polytomic.com/guides/idempotent-requests";

/// The page that documents the whole API.
pub(super) const REFERENCE: &str = "https://apidocs.polytomic.com/";
