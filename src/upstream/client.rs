//! Whose request it is, as far as connections are shared.

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// A key, by a hash.
    Key(u64),
    /// All keys that Polytomic has not confirmed: clients can make up any number.
    Unconfirmed,
    /// The gateway, which looks up keys.
    LookUp,
    /// All clients of the gateway's own key: there is no other to leave streams to.
    Gateway,
}
