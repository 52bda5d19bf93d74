//! The memory that the answer of an RPC takes.
//!
//! How much that is shows while the answer comes. One that there is no room for is
//! then work done for nothing, by Polytomic too, and others wait for it. What is
//! asked for again is about as large as it was: its room is taken before it is
//! asked for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{places::Place, upstream::Call};

/// What is worth to be remembered, in bytes.
const LARGE: u32 = 128 * 1024;

/// How many sizes are remembered. Of two that share an entry, it is the last.
const ENTRIES: usize = 4096;

/// The part of a size that is forgotten when there is no room for it: what was
/// asked for in vain some hundred times is tried again, whatever its size was.
const FORGOTTEN: u32 = 64;

/// The room that large answers took.
#[derive(Debug)]
pub(super) struct Sizes {
    hasher: RandomState,
    /// Which call it was, and the bytes: a half each.
    entries: Box<[AtomicU64]>,
}

impl Sizes {
    pub(super) fn new() -> Self {
        let entries = (0..ENTRIES).map(|_| AtomicU64::default()).collect();
        Self { hasher: RandomState::new(), entries }
    }

    fn of(&self, call: &Call) -> Size<'_> {
        let hash = self.hasher.hash_one((&call.method, &call.path_and_query));
        let (call, place) = halves(hash);
        Size { entry: &self.entries[place as usize % ENTRIES], call }
    }
}

/// The entry of a call.
#[derive(Debug)]
struct Size<'a> {
    entry: &'a AtomicU64,
    call: u32,
}

impl Size<'_> {
    /// Returns what is remembered, or 0.
    fn last(&self) -> u32 {
        let (call, bytes) = halves(self.entry.load(Relaxed));
        if call == self.call { bytes } else { 0 }
    }

    fn remember(&self, bytes: u32) {
        self.entry.store(u64::from(self.call) << 32 | u64::from(bytes), Relaxed);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what a half is")]
fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

/// The room of one RPC.
#[derive(Debug)]
pub(super) struct Room<'a> {
    place: &'a Place,
    size: Size<'a>,
}

impl<'a> Room<'a> {
    /// Takes as much of the `place` as the answer to the same call took the last
    /// time, if there is as much.
    pub(super) fn take(place: &'a Place, sizes: &'a Sizes, call: &Call) -> Option<Self> {
        let size = sizes.of(call);
        let last = size.last();
        if place.grow(last as usize) {
            return Some(Self { place, size });
        }
        size.remember(last - last / FORGOTTEN);
        None
    }

    /// Tells whether there is room for an answer of so many bytes, and for its
    /// message besides.
    pub(super) fn has(&self, bytes: usize) -> bool {
        let both = 2 * bytes;
        self.note(both);
        self.place.grow(both)
    }

    /// Leaves what is not needed for a message of so many bytes, whose answer is
    /// not needed any more. Tells whether there was room for it.
    pub(super) fn keep(&self, answer: usize, message: usize) -> bool {
        let most = message.max(2 * answer);
        if most < self.size.last() as usize {
            self.size.remember(bytes(most));
        }
        self.note(message);
        self.place.resize(message)
    }

    fn note(&self, most: usize) {
        let most = bytes(most);
        if most > self.size.last().max(LARGE) {
            self.size.remember(most);
        }
    }
}

fn bytes(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::{HeaderMap, Method};

    use super::*;
    use crate::places::{Places, Share};

    const ROOM: usize = 64 << 20;

    fn call(path: &str) -> Call {
        Call {
            method: Method::GET,
            path_and_query: path.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            recall: None,
        }
    }

    /// Room for so many bytes.
    fn places(bytes: usize) -> Places {
        let share = Share { each: bytes / 4096, kept: 0, always: 1 };
        Places::new(bytes / 4096, share, 4096)
    }

    fn take(sizes: &Sizes, path: &str, bytes: usize) -> bool {
        let place = places(bytes).enter().unwrap();
        Room::take(&place, sizes, &call(path)).is_some()
    }

    /// Has a call answered, in parts of so many bytes, by a message of half.
    fn answer(sizes: &Sizes, path: &str, parts: &[usize]) {
        let place = places(ROOM).enter().unwrap();
        let room = Room::take(&place, sizes, &call(path)).unwrap();
        let mut whole = 0;
        for part in parts {
            whole += part;
            assert!(room.has(whole));
        }
        assert!(room.keep(whole, whole / 2));
    }

    #[test]
    fn what_was_large_is_asked_for_only_if_there_is_room() {
        let sizes = Sizes::new();
        assert!(take(&sizes, "/a", 4096));
        answer(&sizes, "/a", &[1 << 20, 1 << 20]);
        assert!(!take(&sizes, "/a", 3 << 20));
        assert!(take(&sizes, "/a", 4 << 20));
        assert!(take(&sizes, "/b", 4096));
    }

    #[test]
    fn a_large_answer_is_known_when_it_begins() {
        let sizes = Sizes::new();
        let place = places(4096).enter().unwrap();
        let room = Room::take(&place, &sizes, &call("/a")).unwrap();
        assert!(!room.has(1 << 20));
        assert!(!take(&sizes, "/a", 1 << 20));
    }

    #[test]
    fn what_became_smaller_takes_less() {
        let sizes = Sizes::new();
        for (parts, most) in
            [(&[8 << 20][..], 16 << 20), (&[1 << 20, 1 << 20], 4 << 20), (&[0], 4096)]
        {
            answer(&sizes, "/a", parts);
            assert!(take(&sizes, "/a", most), "{most}");
        }
    }

    #[test]
    fn a_part_of_a_large_answer_does_not_make_it_a_small_one() {
        let sizes = Sizes::new();
        answer(&sizes, "/a", &[8 << 20]);
        let place = places(ROOM).enter().unwrap();
        let room = Room::take(&place, &sizes, &call("/a")).unwrap();
        assert!(room.has(1 << 20));
        assert!(!take(&sizes, "/a", 15 << 20));
    }

    #[test]
    fn what_never_has_room_is_tried_again_once_in_a_while() {
        let sizes = Sizes::new();
        answer(&sizes, "/a", &[8 << 20]);
        let refused = (0..1000).take_while(|_| !take(&sizes, "/a", 1 << 20)).count();
        assert!((100..1000).contains(&refused), "{refused}");
    }
}
