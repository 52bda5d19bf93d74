//! Counts the open connections of each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The number of open connections by the address of the peer.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Maximum connections of one address. Zero: no limit.
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Counts a connection, unless its address has as many as it may.
    pub(super) fn try_add(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        // An IPv4 peer of a socket for both has an IPv6 address.
        let address = address.to_canonical();
        let mut open = self.lock();
        let count = open.entry(address).or_default();
        if self.limit > 0 && *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Counted { addresses: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        let left = open.get_mut(&self.address).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            open.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_limit() {
        let addresses = Arc::new(Addresses::new(2));
        let open = |text| addresses.try_add(address(text));
        let first = open("10.0.0.1").unwrap();
        let second = open("::ffff:10.0.0.1").unwrap();
        assert!(open("10.0.0.1").is_none());
        let other = open("10.0.0.2").unwrap();
        drop(first);
        let third = open("10.0.0.1").unwrap();
        drop((second, third, other));
        assert!(addresses.lock().is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let addresses = Arc::new(Addresses::new(0));
        let open: Vec<_> =
            (0..100).map_while(|_| addresses.try_add(address("::1"))).collect();
        assert_eq!(open.len(), 100);
    }
}
