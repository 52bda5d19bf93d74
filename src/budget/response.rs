//! The memory that the answer of an RPC takes.
//!
//! How much that is shows while the answer comes. One that there is no room for is
//! then work done for nothing, by Polytomic too, and others wait for it. What is
//! asked for again is about as large as it was: the room of a large answer is taken
//! before it is asked for.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use super::capacity::Reservation;

/// The bytes, of JSON and its message, that are worth to be remembered: more than
/// any answer has room for from the start.
const LARGE: u32 = 128 * 1024;

/// How many sizes are remembered. Of two that share an entry, it is the last.
const ENTRIES: usize = 4096;

/// Of those that there is no room for, one in so many is asked for all the same:
/// it may have become smaller.
const PROBED: u32 = 256;

/// The room that large answers took.
#[derive(Debug)]
pub struct Sizes {
    hasher: RandomState,
    /// Which call it was, and the bytes: a half each.
    entries: Box<[AtomicU64]>,
    refused: AtomicU32,
}

impl Sizes {
    pub(crate) fn new() -> Self {
        let entries = (0..ENTRIES).map(|_| AtomicU64::default()).collect();
        Self { hasher: RandomState::new(), entries, refused: AtomicU32::default() }
    }

    /// Returns the size of what `holder` is answered to a call. Others may be
    /// refused it.
    fn of(&self, request: impl Hash, holder: &str) -> Size<'_> {
        let hash = self.hasher.hash_one((request, holder));
        let (tag, index) = halves(hash);
        Size { entry: &self.entries[index as usize % ENTRIES], tag }
    }

    fn is_to_be_probed(&self) -> bool {
        self.refused.fetch_add(1, Relaxed) % PROBED == PROBED - 1
    }
}

/// The size of one answer, in bytes.
#[derive(Debug)]
struct Size<'a> {
    entry: &'a AtomicU64,
    tag: u32,
}

impl Size<'_> {
    /// Returns what is remembered, or 0.
    fn expected(&self) -> u32 {
        let (tag, bytes) = halves(self.entry.load(Relaxed));
        if tag == self.tag { bytes } else { 0 }
    }

    fn raise_to(&self, bytes: usize) {
        let bytes = saturated(bytes);
        if bytes > self.expected().max(LARGE) {
            self.remember(bytes);
        }
    }

    fn lower_to(&self, bytes: usize) {
        let bytes = saturated(bytes);
        if bytes < self.expected() {
            self.remember(bytes);
        }
    }

    fn remember(&self, bytes: u32) {
        self.entry.store(u64::from(self.tag) << 32 | u64::from(bytes), Relaxed);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what a half is")]
fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

fn saturated(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The room of one RPC.
#[derive(Debug)]
pub struct ResponseMemory<'a> {
    place: &'a Reservation,
    size: Size<'a>,
}

impl<'a> ResponseMemory<'a> {
    /// Takes as much room as the answer to the same call of the same holder of
    /// credentials took the last time, if there is as much.
    pub(crate) fn take(
        place: &'a Reservation,
        sizes: &'a Sizes,
        request: impl Hash,
        holder: &str,
    ) -> Option<Self> {
        let size = sizes.of(request, holder);
        let has_room = place.grow(size.expected() as usize) || sizes.is_to_be_probed();
        has_room.then_some(Self { place, size })
    }

    /// Reports whether there is room for an answer of so many bytes, or more, and for
    /// its message besides.
    pub(crate) fn has(&self, answer: usize) -> bool {
        self.size.raise_to(2 * answer);
        self.place.grow(2 * answer)
    }

    /// Notes how many bytes a whole answer has.
    pub(crate) fn note_whole(&self, answer: usize) {
        self.size.lower_to(2 * answer);
    }

    /// Leaves what a message of so many bytes does not need. Reports whether there was
    /// room for it.
    pub(crate) fn keep(&self, message: usize) -> bool {
        self.size.raise_to(message);
        self.place.resize(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{FairShare, SharedCapacity};
    use super::*;

    const ROOM: usize = 64 << 20;
    const HOLDER: &str = "0123456789abcdef";

    /// Room for so many bytes.
    fn places(bytes: usize) -> SharedCapacity {
        let share = FairShare { floor: bytes / 4096, reserved: 0, guaranteed: 1 };
        SharedCapacity::new(bytes / 4096, share, 4096)
    }

    fn take(sizes: &Sizes, path: &str, bytes: usize) -> bool {
        let place = places(bytes).try_reserve().unwrap();
        ResponseMemory::take(&place, sizes, path, HOLDER).is_some()
    }

    /// Has a call answered, in parts of so many bytes, by a message of half.
    fn answer(sizes: &Sizes, path: &str, parts: &[usize]) {
        let place = places(ROOM).try_reserve().unwrap();
        let room = ResponseMemory::take(&place, sizes, path, HOLDER).unwrap();
        let mut whole = 0;
        for part in parts {
            whole += part;
            assert!(room.has(whole));
        }
        room.note_whole(whole);
        assert!(room.keep(whole / 2));
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
        let place = places(4096).try_reserve().unwrap();
        let room = ResponseMemory::take(&place, &sizes, "/a", HOLDER).unwrap();
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
        let place = places(ROOM).try_reserve().unwrap();
        let room = ResponseMemory::take(&place, &sizes, "/a", HOLDER).unwrap();
        assert!(room.has(1 << 20));
        assert!(!take(&sizes, "/a", 15 << 20));
    }

    #[test]
    fn what_others_are_answered_says_nothing() {
        let sizes = Sizes::new();
        answer(&sizes, "/a", &[8 << 20]);
        let place = places(4096).try_reserve().unwrap();
        assert!(ResponseMemory::take(&place, &sizes, "/a", "another").is_some());
    }

    #[test]
    fn what_never_has_room_is_asked_for_once_in_a_while() {
        let sizes = Sizes::new();
        answer(&sizes, "/a", &[8 << 20]);
        let asked = (0..1000).filter(|_| take(&sizes, "/a", 1 << 20)).count();
        assert_eq!(asked, 1000 / PROBED as usize);
    }
}
